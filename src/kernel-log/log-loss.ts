/**
 * Messages about lost messages.
 *
 *     oom_kill_process: 50 callbacks suppressed
 *     ** 23 printk messages dropped **
 *     systemd-journald[210]: Missed 12 kernel messages
 */
import type { KernelMessage } from "./kernel-message.ts";

/** Messages that the log says are missing. */
export interface LogLoss {
  what: "callbacks_suppressed" | "printk_dropped" | "journal_missed" | "syslog_lost";
  count: number;
}

const losses: readonly [RegExp, LogLoss["what"]][] = [
  [/^(?:\S+: )?(\d+) callbacks suppressed\s*$/, "callbacks_suppressed"],
  [/^(?:\*\* )?(?:printk: )?(\d+)(?: printk)? messages dropped(?: \*\*)?\s*/, "printk_dropped"],
];

/** The same from daemons that transport the log, on lines of their own. */
const daemonLosses: readonly [RegExp, LogLoss["what"]][] = [
  [/\bsystemd-journald(?:\[\d+\])?: Missed (\d+) kernel messages/, "journal_missed"],
  [/\brsyslogd: im[a-z]+\b.* lost (\d+) messages/, "syslog_lost"],
];

/** A message that says how many others are missing; `undefined` for any other. */
export function parseLoss({ text, origin }: KernelMessage): LogLoss | undefined {
  if (origin !== "user" && !/suppressed|dropped/.test(text)) return undefined;
  for (const [shape, what] of origin === "user" ? daemonLosses : losses) {
    const match = shape.exec(text);
    if (match !== null) return { what, count: Number(match[1]) };
  }
  return undefined;
}
