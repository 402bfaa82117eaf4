import { createHash } from "node:crypto";
import { cached } from "../../kit/cache.ts";
import { sourceLines } from "../../kit/debian-suite.ts";
import { run } from "../../kit/run.ts";
import { hostPrograms } from "./host-programs.ts";

const suite = "trixie";

/** What every guest has in addition to Debian's required packages. */
const always = [
  "busybox-static",
  "curl",
  "dbus",
  "iproute2",
  "kmod",
  "libnss-systemd",
  "logrotate",
  "nodejs",
  "procps",
  "rsyslog",
  "systemd-sysv",
  "udev",
];

const leftOut = ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*"];

/**
 * The root file system of a Debian 13, made once for each set of packages; a machine only reads it.
 * @throws {Error} if it cannot be made: no Debian packages, or neither root nor user namespaces
 */
export function guestImage(packages: readonly string[] = []): Promise<string> {
  const all = [...new Set([...always, ...packages])].sort();
  const key = createHash("sha256")
    .update([suite, ...all].join(" "))
    .digest("hex");
  return cached(`guests/${suite}-${key.slice(0, 12)}.ext2`, async (building) => {
    const { env } = await hostPrograms();
    const lines = await sourceLines([suite, `${suite}-security`]);
    const options = [
      "--quiet",
      "--variant=minbase",
      "--architectures=amd64",
      "--format=ext2",
      `--include=${all.join(",")}`,
      ...leftOut.map((path) => `--dpkgopt=path-exclude=${path}`),
    ];
    await run("mmdebstrap", [...options, suite, building, ...lines], { env }).catch((cause) => {
      const need =
        "making the guest's Debian needs root, or user namespaces with newuidmap (uidmap)";
      throw new Error(`${need}: ${(cause as Error).message}`, { cause });
    });
  });
}
