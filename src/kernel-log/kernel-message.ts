/**
 * One message of the kernel log, and its record in /dev/kmsg.
 *
 * Path: /dev/kmsg (Documentation/ABI/testing/dev-kmsg, since 3.5): `prio,seq,usec,flags[,caller=T123];`
 * and the text, then ` KEY=value` lines.
 *
 *     3,426,8640407,-,caller=T226;Out of memory: Killed process 226 (a\x0ab) total-vm:...
 */
import { unescapeHex } from "./kernel-text.ts";

/** Who wrote a message, as far as its envelope proves it. */
export type MessageOrigin =
  /** The envelope proves the kernel: kmsg facility 0, journald `_TRANSPORT=kernel`, kern facility shown. */
  | "kernel"
  /** Looks like a kernel message, and nothing in the envelope can prove or refute it. */
  | "unverified"
  /** The envelope proves that user space wrote it. */
  | "user";

/** One kernel log message without its envelope. */
export interface KernelMessage {
  /** The kernel's own text, one character per byte (latin1), with the envelope's escapes decoded. */
  text: string;
  origin: MessageOrigin;
  /** printk clock: microseconds since boot. */
  printkMicros?: number;
  /** Wall clock: milliseconds since the epoch. */
  timeMs?: number;
  /** Boot id, 32 hex digits without dashes, if the envelope has one (journald). */
  bootId?: string;
  /** kmsg sequence number. */
  sequence?: number;
  /** `CONFIG_PRINTK_CALLER`: `T123` for a task, `C0` for a processor. */
  callerId?: string;
  /** True for a line without an envelope: the rest of the record before it (embedded newline). */
  continues?: boolean;
  /**
   * From a text that people wrote around lines of the log: without an envelope, quoted, commented or in a block of a
   * page. People shorten lines.
   */
  isInText?: boolean;
  /** Not from the kernel log itself: another program's report that quotes it (a Kubernetes event). */
  isQuoted?: boolean;
}

/** Sets all fields at once, in one order: engines are slow with objects of varying shape. */
export function messageOf(text: string, origin: MessageOrigin): KernelMessage {
  return {
    text,
    origin,
    printkMicros: undefined,
    timeMs: undefined,
    bootId: undefined,
    sequence: undefined,
    callerId: undefined,
    continues: undefined,
    isInText: undefined,
    isQuoted: undefined,
  };
}

const levelName = /^(?:emerg|panic|alert|crit|err|warn|notice|info|debug)/;

/** Whether a word is a level, as dmesg -x, busybox and others write it. */
export function isLevelName(name: string): boolean {
  return levelName.test(name);
}

/** User space wrote any record with a facility other than 0: only the kernel can use 0 on /dev/kmsg. */
export function originOfPriority(priority: number): MessageOrigin {
  return priority >> 3 === 0 ? "kernel" : "user";
}

const kmsgRecord = /^(\d{1,4}),(\d+),(\d+),([^;]*);(.*)$/s;

/**
 * Parses one record of /dev/kmsg: `prio,seq,usec,flags[,caller=T123];text`, without the `KEY=value` lines after it and
 * with `\xHH` decoded. `undefined` if the text is no such record.
 */
export function parseKmsgRecord(record: string): KernelMessage | undefined {
  const newline = record.indexOf("\n");
  const match = kmsgRecord.exec(newline < 0 ? record : record.slice(0, newline));
  if (match === null) return undefined;
  const [, priority = "", sequence = "", micros = "", flags = "", text = ""] = match;
  const message = messageOf(unescapeHex(text), originOfPriority(Number(priority)));
  message.printkMicros = Number(micros);
  message.sequence = Number(sequence);
  const caller = /(?:^|,)caller=([TC]\d+)/.exec(flags);
  if (caller?.[1] !== undefined) message.callerId = caller[1];
  return message;
}

/** Processes map whole pages, so sizes that are not multiples of a page were forged. */
const lessThanAPage = /Killed process (?:(?!Killed process ).)* total-vm:[1-3]kB/s;

/** Root may write to the ring buffer, and plain dmesg output does not distinguish those lines from the kernel's. */
export function plausible(text: string): MessageOrigin {
  return lessThanAPage.test(text) ? "user" : "unverified";
}
