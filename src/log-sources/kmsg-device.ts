/**
 * /dev/kmsg - the kernel's ring buffer, one record per read.
 * https://www.kernel.org/doc/Documentation/ABI/testing/dev-kmsg, since Linux 3.5.
 *
 *   <priority>,<sequence>,<microseconds since boot>,<flags>[,caller=...];<text>\n[ KEY=value\n]...
 *   3,1234,5140900,-;Out of memory: Killed process 4711 (stress) total-vm:...
 *
 * Opened non-blocking: EAGAIN at the end; EPIPE if records were overwritten before they were read, and then the next
 * read returns the oldest remaining one. Sequence numbers count records since boot without gaps, so together with the
 * boot id they form a cursor and show what is missing. A blocking read would occupy a pool thread until the next record,
 * and the process could not exit; hence polling.
 */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { isSystemError } from "../sources/system-error.ts";
import { obstacleOf, obstacleText } from "./log-obstacle.ts";
import type { ReadState, SourceListener } from "./log-source.ts";

/** The last record delivered; a boot counts from 0. Plain JSON. */
export interface KmsgPosition {
  bootId: string;
  sequence: number;
}

export interface KmsgRecord {
  sequence: number;
  /** The record as read, valid only during the call. */
  raw: Buffer;
  /** Already in the ring buffer before following began: its time comes from its own timestamp, not from the clock. */
  backlog: boolean;
}

/** Reading one record at a time. */
export interface KmsgReader {
  /** Reads the next record into `buffer` and returns its length. Throws the system's error: EAGAIN, EPIPE... */
  read(buffer: Buffer): number;
  close(): void;
}

export interface KmsgListener extends SourceListener {
  record(record: KmsgRecord): void;
}

export interface KmsgDeviceOptions {
  /** Opens the device at its oldest record; `openKmsg` in production. */
  open: () => KmsgReader;
  /** The id of the running boot: /proc/sys/kernel/random/boot_id. */
  bootId: string;
  /** `start`: everything in the ring buffer, as backlog. A position: what came after it, or everything if it is from another boot. */
  from: KmsgPosition | "start";
  listener: KmsgListener;
  /** False: no timer, `poll()` does everything (tests). Default true. */
  watch?: boolean;
}

/** Longer than any record (8 KiB, CONSOLE_EXT_LOG_MAX): a shorter buffer would fail with EINVAL. */
const recordBytes = 16 * 1024;
/** Polling interval while records arrive: a flood fills a small ring buffer (128 KiB) in about 100 ms. */
const busyPollMs = 25;
const reopenMs = 5000;
/** After a kill notification: its records arrive within 10 ms. */
const expectedPolls = 4;
/** Records read before other work gets its turn. */
const turnRecords = 2000;

export class KmsgDevice {
  readonly #options: KmsgDeviceOptions;
  readonly #buffer = Buffer.allocUnsafeSlow(recordBytes);
  #reader: KmsgReader | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** Number of further quick polls although nothing arrived. */
  #expectedPolls = 0;
  #caughtUp = false;
  /** Sequence of the last record read, now or before a restart; -1 = none of this boot; undefined = start unknown. */
  #sequence: number | undefined;
  #state: ReadState | undefined;

  constructor(options: KmsgDeviceOptions) {
    this.#options = options;
    const { from, bootId } = options;
    if (typeof from === "object") this.#sequence = from.bootId === bootId ? from.sequence : -1;
  }

  start(): void {
    this.poll();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#close();
  }

  /** Undefined before the first record. */
  position(): KmsgPosition | undefined {
    const sequence = this.#sequence;
    if (sequence === undefined || sequence < 0) return undefined;
    return { bootId: this.#options.bootId, sequence };
  }

  /** Called a few times a second: polls for records. While records arrive it polls itself, more often. */
  beat(): void {
    if (this.#timer === undefined) this.poll();
  }

  /** Records are about to arrive: polls now, and repeatedly for a moment. */
  expect(): void {
    this.#expectedPolls = expectedPolls;
    this.poll();
  }

  /** Reads the available records, 2,000 at most. */
  poll(): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    let delayMs: number | undefined = reopenMs;
    try {
      this.#reader ??= this.#options.open();
      this.#setState({ up: true });
      delayMs = this.#readRecords();
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.#close();
      this.#setState({
        up: false,
        reason: `cannot read /dev/kmsg: ${obstacleText(obstacleOf("kmsg", error))}`,
      });
    }
    if (delayMs === undefined || this.#stopped || this.#options.watch === false) return;
    this.#timer = setTimeout(() => this.poll(), delayMs);
  }

  /** Returns when to poll again; `undefined` if nothing arrived. */
  #readRecords(): number | undefined {
    let count = 0;
    while (count < turnRecords && !this.#stopped && this.#reader !== undefined) {
      const length = readRecord(this.#reader, this.#buffer);
      if (length === undefined) {
        if (!this.#caughtUp) {
          this.#caughtUp = true;
          this.#options.listener.caughtUp();
        }
        if (count === 0 && --this.#expectedPolls < 0) return undefined;
        return busyPollMs;
      }
      count++;
      this.#take(this.#buffer.subarray(0, length));
    }
    return 0;
  }

  #take(raw: Buffer): void {
    const { listener } = this.#options;
    const sequence = sequenceOf(raw);
    if (sequence === undefined) return;
    const before = this.#sequence;
    if (before !== undefined && sequence <= before) return;
    this.#sequence = sequence;
    if (before !== undefined && sequence > before + 1) {
      const records = sequence - before - 1;
      const reason = `the kernel's ring buffer overflowed: ${records} records were overwritten before they were read`;
      listener.lost(reason, records);
    }
    listener.record({ sequence, raw, backlog: !this.#caughtUp });
  }

  #close(): void {
    this.#reader?.close();
    this.#reader = undefined;
  }

  #setState(state: ReadState): void {
    if (this.#state?.up === state.up && this.#state.reason === state.reason) return;
    this.#state = state;
    this.#options.listener.stateChanged(state);
  }
}

/** All records in the ring buffer, oldest first. Throws the system's error if it cannot be read. */
export function readRing(open: () => KmsgReader): { sequence: number; raw: Buffer }[] {
  const records: { sequence: number; raw: Buffer }[] = [];
  const buffer = Buffer.allocUnsafe(recordBytes);
  const reader = open();
  try {
    for (;;) {
      const length = readRecord(reader, buffer);
      if (length === undefined) return records;
      const raw = Buffer.from(buffer.subarray(0, length));
      const sequence = sequenceOf(raw);
      if (sequence !== undefined) records.push({ sequence, raw });
    }
  } finally {
    reader.close();
  }
}

export function openKmsg(path = "/dev/kmsg"): KmsgReader {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return {
    read: (buffer) => readSync(fd, buffer, 0, buffer.length, null),
    close: () => closeSync(fd),
  };
}

/** The next record's length; undefined at the end of the ring buffer. Overwritten records show in the sequence. */
function readRecord(reader: KmsgReader, buffer: Buffer): number | undefined {
  for (;;) {
    try {
      const length = reader.read(buffer);
      return length === 0 ? undefined : length;
    } catch (error) {
      const code = isSystemError(error) ? error.code : undefined;
      if (code === "EAGAIN") return undefined;
      if (code !== "EPIPE") throw error;
    }
  }
}

/** The second field. */
function sequenceOf(raw: Buffer): number | undefined {
  const from = raw.indexOf(0x2c) + 1;
  const to = raw.indexOf(0x2c, from);
  if (from === 0 || to === -1) return undefined;
  const digits = raw.toString("latin1", from, to);
  return /^\d{1,15}$/.test(digits) ? Number(digits) : undefined;
}
