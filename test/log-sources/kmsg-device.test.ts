import { constants } from "node:os";
import { expect, onTestFinished, test, vi } from "vitest";
import {
  KmsgDevice,
  type KmsgListener,
  type KmsgPosition,
  type KmsgReader,
  openKmsg,
  readRing,
} from "../../src/log-sources/kmsg-device.ts";

const { errno } = constants;

function systemError(code: keyof typeof errno): Error {
  return Object.assign(new Error(`${code}: read`), { code, errno: -errno[code] });
}

/** The kernel's ring: holds the newest `capacity` records; each reader has its own place in it. */
class Ring {
  records: { sequence: number; text: string }[] = [];
  refusal: keyof typeof errno | undefined;
  readonly capacity: number;
  #next: number;

  constructor(capacity = 1000, firstSequence = 0) {
    this.capacity = capacity;
    this.#next = firstSequence;
  }

  print(...texts: string[]): void {
    for (const text of texts) this.records.push({ sequence: this.#next++, text });
    this.records = this.records.slice(-this.capacity);
  }

  open = (): KmsgReader => {
    if (this.refusal !== undefined) throw systemError(this.refusal);
    let place = this.records[0]?.sequence ?? this.#next;
    return {
      read: (buffer) => {
        if (this.refusal !== undefined) throw systemError(this.refusal);
        const oldest = this.records[0]?.sequence ?? this.#next;
        if (place < oldest) {
          place = oldest;
          throw systemError("EPIPE");
        }
        const record = this.records.find(({ sequence }) => sequence === place);
        if (record === undefined) throw systemError("EAGAIN");
        place++;
        return buffer.write(`6,${record.sequence},1000,-;${record.text}\n`);
      },
      close: () => {},
    };
  };
}

function follow(ring: Ring, from: KmsgPosition | "start", bootId = "this-boot", watch = false) {
  const seen: string[] = [];
  const listener: KmsgListener = {
    record: ({ raw, sequence, backlog }) => {
      const text = raw.toString().split(";")[1]?.trim();
      seen.push(`${sequence} ${text}${backlog ? " (backlog)" : ""}`);
    },
    caughtUp: () => seen.push("caught up"),
    stateChanged: ({ up, reason }) => seen.push(up ? "up" : `down: ${reason}`),
    lost: (_reason, records) => seen.push(`lost ${records}`),
  };
  const device = new KmsgDevice({ open: ring.open, bootId, from, listener, watch });
  device.start();
  return { device, seen, poll: () => device.poll() };
}

test("from the start, existing records are backlog and later ones are not", () => {
  const ring = new Ring();
  ring.print("one", "two");
  const { seen, poll } = follow(ring, "start");
  ring.print("three");
  poll();
  expect(seen).toEqual(["up", "0 one (backlog)", "1 two (backlog)", "caught up", "2 three"]);
});

test("from a position of this boot, delivered records are not delivered again", () => {
  const ring = new Ring();
  ring.print("one", "two", "three");
  const { seen } = follow(ring, { bootId: "this-boot", sequence: 1 });
  expect(seen).toEqual(["up", "2 three (backlog)", "caught up"]);
});

test("from a position of another boot, everything is delivered whatever its sequence", () => {
  const ring = new Ring();
  ring.print("one", "two");
  const { seen } = follow(ring, { bootId: "the-boot-before", sequence: 5000 });
  expect(seen).toEqual(["up", "0 one (backlog)", "1 two (backlog)", "caught up"]);
});

test("records overwritten while the exporter was down are counted as lost", () => {
  const ring = new Ring(2);
  ring.print("one", "two", "three", "four", "five");
  const { seen } = follow(ring, { bootId: "this-boot", sequence: 0 });
  expect(seen).toEqual(["up", "lost 2", "3 four (backlog)", "4 five (backlog)", "caught up"]);
});

test("after an overrun (EPIPE) reading continues at the oldest record and the gap is counted", () => {
  const ring = new Ring(3);
  ring.print("one");
  const { seen, poll } = follow(ring, "start");
  ring.print("two", "three", "four", "five", "six");
  poll();
  expect(seen.slice(3)).toEqual(["lost 2", "3 four", "4 five", "5 six"]);
});

test("the ring that never was read from its beginning has lost nothing", () => {
  const ring = new Ring(2);
  ring.print("one", "two", "three");
  expect(follow(ring, "start").seen).not.toContain("lost 1");
});

test("a refused device says what to do, and is read from its old position once permitted", () => {
  const ring = new Ring();
  ring.print("one");
  const { seen, poll } = follow(ring, "start");
  ring.refusal = "EPERM";
  ring.print("two");
  poll();
  poll();
  ring.refusal = undefined;
  poll();
  expect(seen).toEqual([
    "up",
    "0 one (backlog)",
    "caught up",
    expect.stringMatching(
      /^down: cannot read \/dev\/kmsg: permission denied, run as root or with CAP_SYSLOG while kernel.dmesg_restrict=1/,
    ),
    "up",
    "1 two",
  ]);
});

test("without the device in a container, the message says how to pass it", () => {
  const ring = new Ring();
  ring.refusal = "ENOENT";
  expect(follow(ring, "start").seen).toEqual([
    "down: cannot read /dev/kmsg: not there, in Docker --device /dev/kmsg:/dev/kmsg:r --cap-add SYSLOG",
  ]);
});

test("a record that is not the kernel's format is passed over", () => {
  let reads = 0;
  const open = () => ({
    read: (buffer: Buffer) => {
      if (reads++ > 0) throw systemError("EAGAIN");
      return buffer.write("no comma at all");
    },
    close: () => {},
  });
  expect(readRing(open)).toEqual([]);
});

test("the ring can be listed once, oldest first", () => {
  const ring = new Ring();
  ring.print("one", "two");
  expect(readRing(ring.open).map(({ sequence, raw }) => [sequence, raw.toString()])).toEqual([
    [0, "6,0,1000,-;one\n"],
    [1, "6,1,1000,-;two\n"],
  ]);
});

test("a tick reads a quiet ring buffer; while records arrive it polls itself, without waiting for a tick", () => {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const ring = new Ring();
  const { device, seen } = follow(ring, "start", "this-boot", true);
  ring.print("one");
  vi.advanceTimersByTime(1000);
  expect(seen).toEqual(["up", "caught up"]);
  device.beat();
  ring.print("two");
  vi.advanceTimersByTime(25);
  ring.print("three");
  vi.advanceTimersByTime(25);
  expect(seen.slice(2)).toEqual(["0 one", "1 two", "2 three"]);
  vi.advanceTimersByTime(25);
  expect(vi.getTimerCount()).toBe(0);
  device.stop();
});

test("if a kill is expected, the ring buffer is read at once, and again until its records arrive", () => {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const ring = new Ring();
  const { device, seen } = follow(ring, "start", "this-boot", true);
  device.beat();
  ring.print("before the notice");
  device.expect();
  expect(seen).toEqual(["up", "caught up", "0 before the notice"]);
  vi.advanceTimersByTime(50);
  ring.print("after it");
  vi.advanceTimersByTime(25);
  expect(seen).toHaveLength(4);
  vi.advanceTimersByTime(200);
  expect(vi.getTimerCount()).toBe(0);
  device.stop();
});

test("after stop it is not opened again, not even for a kill that was announced", () => {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const ring = new Ring();
  const opening = vi.spyOn(ring, "open");
  const { device, seen } = follow(ring, "start", "this-boot", true);
  device.stop();
  ring.print("one");
  device.expect();
  expect(opening).toHaveBeenCalledTimes(1);
  expect(seen).toEqual(["up", "caught up"]);
  expect(vi.getTimerCount()).toBe(0);
});

function isKmsgReadable(): boolean {
  try {
    return readRing(openKmsg).length > 0;
  } catch {
    return false;
  }
}

test.skipIf(!isKmsgReadable())("the real /dev/kmsg is read to its end, in order", () => {
  const sequences = readRing(openKmsg).map(({ sequence }) => sequence);
  expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b));
  expect(readRing(openKmsg).at(-1)?.sequence).toBeGreaterThanOrEqual(sequences.at(-1) ?? 0);
});
