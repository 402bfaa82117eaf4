import type { LogSourceName } from "./log-source.ts";

/** Why a log cannot be read. */
export interface LogObstacle {
  /** A few words, such as `not there`. */
  what: string;
  /** What the exporter's user can do about it, if anything. */
  fix?: string;
}

/** The obstacle of a log that does not exist. */
export const notThere = "not there";

const inDocker = "in Docker --device /dev/kmsg:/dev/kmsg:r --cap-add SYSLOG";
const permissionFixes: Record<LogSourceName, string> = {
  file: "add this user to the group that owns it, often adm",
  kmsg: `run as root or with CAP_SYSLOG while kernel.dmesg_restrict=1 (${inDocker})`,
};

/** The system's error in terms of the person who runs the exporter. */
export function obstacleOf(
  kind: LogSourceName,
  { code, message }: Pick<NodeJS.ErrnoException, "code" | "message">,
): LogObstacle {
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return { what: notThere, fix: kind === "kmsg" ? inDocker : undefined };
    case "EACCES":
    case "EPERM":
      return { what: "permission denied", fix: permissionFixes[kind] };
    case "EINVAL":
      return { what: kind === "file" ? "not a regular file" : message };
    default:
      return { what: message };
  }
}

/** On one line, to follow the path of the log. */
export function obstacleText({ what, fix }: LogObstacle): string {
  return fix === undefined ? what : `${what}, ${fix}`;
}
