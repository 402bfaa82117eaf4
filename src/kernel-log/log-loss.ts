/**
 * What the log says it does not hold.
 *
 *     oom_kill_process: 50 callbacks suppressed
 *     ** 23 printk messages dropped **
 *     systemd-journald[210]: Missed 12 kernel messages
 */
import type { KernelMessage } from "./kernel-message.ts";

/** Something the log says it does not hold. */
export interface LogLoss {
  what: "callbacks_suppressed" | "printk_dropped" | "journal_missed" | "syslog_lost";
  count: number;
  /** The kernel function or the syslog module that says so (`oom_kill_process`, `imuxsock`). */
  by?: string;
}

const losses: readonly [RegExp, LogLoss["what"]][] = [
  [/^(?:(\S+): )?(\d+) callbacks suppressed\s*$/, "callbacks_suppressed"],
  [/^(?:\*\* )?(?:(printk): )?(\d+)(?: printk)? messages dropped(?: \*\*)?\s*/, "printk_dropped"],
];

/** The same of the daemons that carry the log, in lines of their own. */
function parseDaemonLoss(text: string): LogLoss | undefined {
  const match =
    /\b(systemd-journald)(?:\[\d+\])?: Missed (\d+) kernel messages/.exec(text) ??
    /\brsyslogd: (im[a-z]+)\b.* lost (\d+) messages/.exec(text);
  if (match === null) return undefined;
  const what = match[1] === "systemd-journald" ? "journal_missed" : "syslog_lost";
  return { what, count: Number(match[2]), by: match[1] };
}

/** A message that says how many others are missing; `undefined` for any other. */
export function parseLoss({ text, origin }: KernelMessage): LogLoss | undefined {
  if (origin === "user") return parseDaemonLoss(text);
  if (!/suppressed|dropped/.test(text)) return undefined;
  for (const [shape, what] of losses) {
    const match = shape.exec(text);
    if (match === null) continue;
    const loss: LogLoss = { what, count: Number(match[2]) };
    if (match[1] !== undefined) loss.by = match[1];
    return loss;
  }
  return undefined;
}
