import { constants, setPriority } from "node:os";
import { takeLock } from "./file-lock.ts";
import { memoryCgroupRoot } from "./memory-cgroup.ts";

/*
 * For the files that make real kills, one after the other, those of another run as well: of many
 * kills within 5 s the kernel prints ten reports, and a test may ask for the report of its own.
 * The process of a file ends with the file, and gives the lock back.
 */
const root = memoryCgroupRoot();
if (root !== undefined) await takeLock(root);
try {
  // The exporter, a child of this process, has to read the ring buffer before the kernel overwrites it, which is
  // the machine's time, however much else runs on it.
  setPriority(constants.priority.PRIORITY_HIGH);
} catch {
  // An ordinary user may not, and makes no kills.
}
