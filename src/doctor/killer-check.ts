import { chooseDaemonFile, type DaemonLogMode, wantedKillers } from "../log-sources/daemon-logs.ts";
import { journalObstacle } from "../log-sources/journal.ts";
import type { HostFiles } from "../sources/host-files.ts";
import { actsAt, otherKillers } from "../status/other-killers.ts";
import { type Check, type Fix, ok, run } from "./check.ts";
import { groupFix } from "./service-fixes.ts";

export interface KillerCheckOptions {
  files: HostFiles;
  daemonLog: DaemonLogMode;
  bootTimeMs?: number;
  /** Whether journalctl is on PATH. */
  hasJournalctl: boolean;
  /** Name of the user that the exporter runs as. */
  user: string;
}

const name = "other killers";

/** Which programs outside the kernel kill for memory here, at which limits, and whether that is seen. */
export function checkOtherKillers(options: KillerCheckOptions): Check {
  const { files, daemonLog } = options;
  const all = otherKillers(files);
  if (all.length === 0) return ok(name, "none on this host");
  const killers = all
    .map((one) => `${one.limits.killer} ${one.isRunning ? actsAt(one) : "is not running"}`)
    .join("; ");
  const followed = all.filter(({ limits }) => wantedKillers(daemonLog).includes(limits.killer));
  if (daemonLog === "none" || followed.length === 0) {
    return {
      name,
      state: "partial",
      found: `${killers}; not followed`,
      impact: "their kills are not counted",
      fix: {
        text: "Start oom-exporter with",
        commands: [`--daemon-log.source=${daemonLog === "none" ? "auto" : "journal"}`],
      },
    };
  }
  const source = sourceOf(options);
  if ("path" in source) return ok(name, `${killers}; read from ${source.path}`);
  return {
    name,
    state: "partial",
    found: `${killers}; ${source.obstacle}`,
    impact: "their kills are not counted, oom_userspace_kills_total is absent",
    fix: source.fix,
  };
}

function sourceOf({
  files,
  daemonLog,
  bootTimeMs,
  hasJournalctl,
  user,
}: KillerCheckOptions): { path: string } | { obstacle: string; fix: Fix } {
  const file = chooseDaemonFile(
    { mode: daemonLog, files, hasJournalctl: () => hasJournalctl },
    bootTimeMs ?? 0,
  );
  if (file !== undefined) return { path: `${file}, into which any user may write` };
  if (daemonLog === "file") {
    return {
      obstacle: "no syslog, messages or daemon.log can be read",
      fix: groupFix("adm", user, files),
    };
  }
  const obstacle = journalObstacle(files);
  if (obstacle !== undefined) {
    return {
      obstacle: `journal: ${obstacle}`,
      fix: obstacle.startsWith("permission")
        ? groupFix("systemd-journal", user, files)
        : run("apt-get install rsyslog"),
    };
  }
  if (!hasJournalctl) return { obstacle: "no journalctl", fix: run("apt-get install systemd") };
  return { path: "the journal" };
}
