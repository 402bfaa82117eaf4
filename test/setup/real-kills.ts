import { takeLock } from "./file-lock.ts";
import { memoryCgroupRoot } from "./memory-cgroup.ts";

/*
 * For the files that make real kills, one after the other, those of another run as well: of many
 * kills within 5 s the kernel prints ten reports, and a test may ask for the report of its own.
 * The process of a file ends with the file, and gives the lock back.
 */
const root = memoryCgroupRoot();
if (root !== undefined) await takeLock(root);
