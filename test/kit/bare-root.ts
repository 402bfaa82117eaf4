import { debianTool } from "../setup/debian-tools.ts";
import { cached } from "./cache.ts";
import { run } from "./run.ts";

const debootstrap = await debianTool("debootstrap", "usr/sbin/debootstrap");

/** Why no bare Debian can be made here, or `undefined` where one can. */
export function bareRootObstacle(): string | undefined {
  return process.getuid?.() === 0 ? debootstrap.obstacle : "needs root";
}

/**
 * Unpacks a Debian with nothing but its essential packages and apt into an empty directory.
 * @param suite Debian's code name, e.g. `bookworm`
 */
export async function unpackBareRoot(suite: string, root: string): Promise<void> {
  const obstacle = bareRootObstacle();
  if (obstacle !== undefined) throw new Error(obstacle);
  const archive = await cached(`bare/${suite}-minbase.tar`, async (building) => {
    const tree = `${building}.tree`;
    try {
      await run(debootstrap.path as string, ["--variant=minbase", suite, tree]);
      await run("tar", ["-C", tree, "--exclude=./dev/*", "-cf", building, "."]);
    } finally {
      await run("rm", ["-rf", tree]);
    }
  });
  await run("tar", ["-C", root, "-xpf", archive]);
}

/**
 * Arguments of `unshare` that run a shell line in the root, with /proc, /sys and /dev mounted for it alone: the mounts
 * go with the last process.
 */
export function insideRoot(root: string, line: string, id = 0): string[] {
  const mounts = ["proc", "sys", "dev"].map((name) => `mount --rbind /${name} "$0/${name}"`);
  return [
    ...["--mount", "--propagation", "private"],
    ...["sh", "-c", [...mounts, 'exec chroot "$@"'].join(" && "), root],
    ...[`--userspec=${id}:${id}`, "--groups=", root, "sh", "-c", line],
  ];
}
