/** How the service of systemd is given more rights. */
import type { HostFiles } from "../sources/host-files.ts";
import { shellWord } from "../text/shell.ts";
import { type Fix, run } from "./check.ts";

const dropIns = "/etc/systemd/system/oom-exporter.service.d";
const restart = "systemctl daemon-reload && systemctl restart oom-exporter";

/** Where a file is that is shipped with the exporter, such as `kmsg.conf`; `undefined` if it is not here. */
export type Shipped = (name: string) => string | undefined;

/** Puts the shipped drop-in of this name in place. */
export function dropInFix(name: string, shipped: Shipped): Fix {
  const path = shipped(name);
  if (path === undefined) {
    return { text: `As root, or with the drop-in ${name} of deploy/systemd in ${dropIns}.` };
  }
  if (path.startsWith("/usr/lib/systemd/system/")) {
    return {
      text: `The service has it from ${path}, unless ${dropIns}/${name} overrides that; by hand, run as root. To see what applies:`,
      commands: ["systemctl cat oom-exporter"],
    };
  }
  return {
    text: "By hand, run as root. For the service:",
    commands: [`mkdir -p ${dropIns}`, `cp ${shellWord(path)} ${dropIns}/`, restart],
  };
}

/** Makes the exporter a member of a group. Its service has a user that exists only while it runs. */
export function groupFix(group: string, user: string, files: HostFiles): Fix {
  const passwd = files.textIfReadable(files.rootfs("etc/passwd")) ?? "";
  if (passwd.split("\n").some((line) => line.startsWith(`${user}:`))) {
    return {
      text: "From the next login on, and for a service after its restart:",
      commands: [`usermod -aG ${group} ${shellWord(user)}`],
    };
  }
  return run(
    `mkdir -p ${dropIns}`,
    `printf '[Service]\\nSupplementaryGroups=${group}\\n' > ${dropIns}/${group}.conf`,
    restart,
  );
}
