/**
 * What the service manager says of a unit that lost processes to an out-of-memory kill. It names neither a process nor
 * a limit, so without the killer's own line it is a fragment.
 *
 * Paths: /var/log/syslog and messages, the journal of the system and of a user (`journalctl -u UNIT`, `--user`),
 * `systemctl status`. Source: src/core/unit.c and service.c of systemd. The result `oom-kill` exists since systemd 243,
 * systemd-oomd since 247.
 *
 *     Oct 05 16:43:01 web1 systemd[1]: [🡕] shop.service: systemd-oomd killed 79 process(es) in this unit.
 *     Aug 28 04:37:50 web1 systemd[1]: shop.service: The kernel OOM killer killed some processes in this unit.
 *     Sep 08 20:02:42 web1 systemd[1]: shop.service: A process of this unit has been killed by the OOM killer.
 *     Sep 08 20:02:44 web1 systemd[1]: shop.service: Failed with result 'oom-kill'.
 */
import { withoutColours } from "./copied-line.ts";
import { decodeUtf8 } from "./kernel-text.ts";

export interface UnitNotice {
  /** Absent if somebody cut it off. */
  unit?: string;
  /** Absent if the notice only says that the unit ended because of a kill. */
  killer?: "kernel" | "systemd-oomd";
  /** Number of processes killed. */
  processes?: number;
}

const manager = /(?:^|\s)systemd(?:\[\d{1,10}\])?: /;
/** journalctl marks entries whose unit another service manager runs. */
const unit = /^(?:\[\S{1,8}\] )?([^\s"']{1,255}\.(?:service|scope|slice|socket|mount|swap)): /;
const phrases =
  /(?:systemd-oomd killed (?:(\d{1,10})|some) process\(es\) in this unit\.|(A process of this unit has been killed by the OOM killer\.|The kernel OOM killer killed some processes in this unit\.)|(Failed with result 'oom-kill'\.))/;
const notice = new RegExp(`^${phrases.source}`);
const isUnit = /\.(?:service|scope|slice|socket|mount|swap)$/;
const deleted = / \(deleted\)$/;

/** Texts of which each notice has one. They begin with rare letters, which makes them fast to find. */
export const noticeWords = ["(es) in this unit.", "OOM killer", "'oom-kill'."];

/**
 * How long after a kill the result may come: it is logged when the last process has ended, with `OOMPolicy=stop` up to
 * TimeoutStopSec after the kill: 90 s by default, many minutes for databases.
 */
export const resultWithinMs = 3_600_000;

/** Whether a raw line may hold a notice; much faster than reading it. */
export function mayHoldNotice(line: string): boolean {
  return phrases.test(line.includes("\x1b") ? withoutColours(line) : line);
}

/** The units among the names of a cgroup's path; strings that keep no part of the log alive. */
export function unitsIn(cgroup: string): string[] {
  const names = cgroup.replace(deleted, "").split("/");
  return structuredClone(names.filter((name) => isUnit.test(name)));
}

/** The notice in a line whose stamp has been stripped; `undefined` for any other line. */
export function parseUnitNotice(text: string): UnitNotice | undefined {
  const tag = manager.exec(text);
  const rest = text.slice(tag === null ? 0 : tag.index + tag[0].length).replace(/^[\s`*>|-]+/, "");
  const named = unit.exec(rest);
  const match = notice.exec(rest.slice(named?.[0].length ?? 0));
  if (match === null) return undefined;
  const [, processes, ofKernel, result] = match;
  // Any other program has results of that name too.
  if (result !== undefined && named === null) return undefined;
  const found: UnitNotice = {};
  if (named !== null) found.unit = decodeUtf8(named[1] ?? "");
  if (result === undefined) found.killer = ofKernel === undefined ? "systemd-oomd" : "kernel";
  if (processes !== undefined) found.processes = Number(processes);
  return found;
}
