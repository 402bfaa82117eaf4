/**
 * A log in newest-first order (`journalctl -k -r`), reversed so that each dump comes before its kill again.
 *
 * Pieces end right after a dump's header (the last line of its event in this order), so that no event is split; each
 * piece comes out in chronological order, newest piece first.
 */

import type { LogClock } from "./local-time.ts";
import { KernelMessageReader } from "./log-line.ts";
import { newlinesIn } from "./newlines.ts";

const pieceBytes = 8 * 1024 * 1024;
const header = Buffer.from("oom-killer: ");

/** A piece of a log in chronological order. */
export interface TurnedPiece {
  bytes: Buffer;
  /** Line number in the original file of a 1-based line of the piece. */
  lineNumber(line: number): number;
}

/** Time of an entry: by the wall clock, and within one second of it by printk's clock. */
interface Stamp {
  timeMs: number;
  printkMicros: number;
  isUsers: boolean;
}

/** Steps backwards that other programs' lines must show: a daemon's line may be late. */
const fewestSteps = 3;

/** Whether the timestamps at the beginning of a log run backwards. */
export function isReversed(head: Uint8Array, clock: LogClock): boolean {
  const stamps = stampsOfLines(Buffer.from(head).toString("latin1"), clock);
  const ofKernel = stepsOf(stamps.filter(({ isUsers }) => !isUsers));
  if (ofKernel.forward !== ofKernel.backward) return ofKernel.backward > ofKernel.forward;
  const { forward, backward } = stepsOf(stamps);
  return backward > forward && backward >= fewestSteps;
}

function stepsOf(stamps: readonly Stamp[]): { forward: number; backward: number } {
  let [forward, backward] = [0, 0];
  for (const [index, stamp] of stamps.entries()) {
    const before = stamps[index - 1];
    if (before === undefined) continue;
    // printk's clock restarts with each boot: it decides only if the wall clock does not.
    const step = stamp.timeMs - before.timeMs || stamp.printkMicros - before.printkMicros;
    if (step > 0) forward += 1;
    if (step < 0) backward += 1;
  }
  return { forward, backward };
}

function stampsOfLines(text: string, clock: LogClock): Stamp[] {
  const reader = new KernelMessageReader(clock, { copied: true });
  return text.split("\n").flatMap((line) => {
    const message = reader.read(line);
    if (message === undefined || message.continues) return [];
    const { timeMs, printkMicros, origin } = message;
    if (timeMs === undefined && printkMicros === undefined) return [];
    const isUsers = origin === "user";
    return [{ timeMs: timeMs ?? 0, printkMicros: printkMicros ?? 0, isUsers }];
  });
}

/** Reverses a whole log, piece by piece. */
export async function* turned(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<TurnedPiece> {
  let held = Buffer.alloc(0);
  let firstLine = 1;
  for await (const chunk of chunks) {
    held = Buffer.concat([held, chunk]);
    if (held.length < pieceBytes) continue;
    const cut = endOfLastEvent(held);
    yield turn(held.subarray(0, cut), firstLine);
    firstLine += newlinesIn(held, 0, cut);
    held = Buffer.from(held.subarray(cut));
  }
  if (held.length > 0) yield turn(held, firstLine);
}

/** After the line of the last header, or after the last line if there is none. */
function endOfLastEvent(bytes: Buffer): number {
  const last = bytes.lastIndexOf(header);
  const end = last < 0 ? bytes.lastIndexOf(0x0a) : bytes.indexOf(0x0a, last);
  return end < 0 ? bytes.length : end + 1;
}

/** If each record has such a timestamp, a line without one is the rest of the record before it. */
const stamped = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;
const isIndented = (line: string): boolean => /^\s{4}/.test(line);

function turn(bytes: Buffer, firstLine: number): TurnedPiece {
  const text = bytes.toString("latin1");
  const lines = (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n");
  const order: number[] = [];
  const turnedLines: string[] = [];
  const isRest = stamped.test(lines[0] ?? "") ? (line: string) => !stamped.test(line) : isIndented;
  let end = lines.length;
  for (let start = lines.length - 1; start >= 0; start -= 1) {
    if (start > 0 && isRest(lines[start] ?? "")) continue;
    for (let at = start; at < end; at += 1) {
      order.push(firstLine + at);
      turnedLines.push(lines[at] ?? "");
    }
    end = start;
  }
  return {
    bytes: Buffer.from(`${turnedLines.join("\n")}\n`, "latin1"),
    lineNumber: (line) => order[line - 1] ?? line,
  };
}
