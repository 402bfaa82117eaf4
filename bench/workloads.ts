/**
 * Small real programs, each with one pattern of memory use, which `record-series` runs in cgroups with a limit. All
 * memory that they hold is touched, and what they release goes back to the kernel; collected heaps are V8's own.
 */
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";

/** What a running workload is given. */
export interface Run {
  /** Minutes since the recording began; a restarted workload goes by the same clock. */
  minute(): number;
  /** Minutes since this process began. */
  age(): number;
  /** Uniform in [0, 1), the same for the same seed. */
  random(): number;
  /** A folder of its own on disk, and one in memory. */
  diskDirectory: string;
  shmDirectory: string;
  /** Calls `step` every second with the seconds since the last call. */
  everySecond(step: (seconds: number) => void): void;
}

export interface Workload {
  /** What it is, in one sentence for the reader of the results. */
  what: string;
  /** Of its cgroup; without one it runs on a host that is the recording's to spend. */
  limitMiB?: number;
  /** Left alone it reaches a limit sooner or later: an alert about it is right, even an early one. */
  runsOut: boolean;
  /** Whether a supervisor starts it again after a kill, as systemd does with Restart=on-failure. */
  restarted: boolean;
  /** Minutes at which it is restarted, as by a deployment. */
  replacedAtMinutes?: readonly number[];
  nodeFlags?: readonly string[];
  run(run: Run): void;
}

const mib = 1 << 20;
const chunkBytes = 256 << 10;

/** Memory that is held and touched, in chunks that malloc maps and unmaps one by one. */
class Held {
  readonly #chunks: Buffer[] = [];

  resize(bytes: number): void {
    const chunks = Math.max(0, Math.round(bytes / chunkBytes));
    while (this.#chunks.length < chunks) this.#chunks.push(Buffer.alloc(chunkBytes, 1));
    if (this.#chunks.length === chunks) return;
    this.#chunks.length = chunks;
    globalThis.gc?.();
  }
}

/** Requests that come at random, hold something for some seconds and let go of it. */
class Requests {
  readonly #held = new Held();
  #open: { bytes: number; endsAt: number }[] = [];
  #now = 0;

  serve({ random }: Run, seconds: number, perSecond: number, largestMiB = 2): void {
    this.#now += seconds;
    for (let due = perSecond * seconds; random() < due; due -= random()) {
      const bytes = random() ** 2 * largestMiB * mib;
      this.#open.push({ bytes, endsAt: this.#now + 1 + random() * 20 });
    }
    this.#open = this.#open.filter(({ endsAt }) => endsAt > this.#now);
    this.#held.resize(this.#open.reduce((sum, { bytes }) => sum + bytes, 0));
  }
}

/** Holds what the clock says, in MiB. */
function follow(run: Run, heldMiB: () => number): void {
  const held = new Held();
  run.everySecond(() => held.resize(heldMiB() * mib));
}

/** Garbage that outlives the young generation, and some of it never freed: V8 collects the rest. */
function collected(run: Run, garbageMiBPerMinute: number, leakedMiBPerMinute: number): void {
  const objectBytes = 1024;
  const newObject = (): number[] => new Array(objectBytes / 8 - 2).fill(run.random());
  const live = Array.from({ length: (20 * mib) / objectBytes }, newObject);
  const recent: number[][] = [];
  const recentObjects = (4 * mib) / objectBytes;
  let dueGarbage = 0;
  let dueLeak = 0;
  let oldest = 0;
  run.everySecond((seconds) => {
    dueGarbage += (garbageMiBPerMinute * mib * seconds) / 60 / objectBytes;
    dueLeak += (leakedMiBPerMinute * mib * seconds) / 60 / objectBytes;
    for (; dueGarbage >= 1; dueGarbage--) {
      recent[oldest] = newObject();
      oldest = (oldest + 1) % recentObjects;
    }
    for (; dueLeak >= 1; dueLeak--) live.push(newObject());
  });
}

/** Writes a ring of files over and over; each written page stays in the page cache as long as it may. */
function writeFiles(run: Run, directory: string, ringMiB: number, mibPerMinute: number): void {
  mkdirSync(directory, { recursive: true });
  const fileMiB = 20;
  const block = Buffer.alloc(mib / 8, 1);
  let dueBytes = 0;
  let position = 0;
  run.everySecond((seconds) => {
    dueBytes += (mibPerMinute * mib * seconds) / 60;
    for (; dueBytes >= block.length; dueBytes -= block.length) {
      const file = Math.floor(position / (fileMiB * mib));
      const descriptor = openSync(join(directory, `${file}`), "a+");
      closeSync(descriptor);
      const writer = openSync(join(directory, `${file}`), "r+");
      writeSync(writer, block, 0, block.length, position % (fileMiB * mib));
      closeSync(writer);
      position = (position + block.length) % (ringMiB * mib);
    }
  });
}

/** Reads what it finds on disk round and round: page cache that is no use of memory. */
function readFiles(run: Run, directory: string, mibPerMinute: number): void {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  let dueBytes = 0;
  let next = 0;
  run.everySecond((seconds) => {
    dueBytes += (mibPerMinute * mib * seconds) / 60;
    while (dueBytes > 0) {
      dueBytes -= Math.max(1, readFileSync(files[next] as string).length);
      next = (next + 1) % files.length;
    }
  });
}

/** Of memory that can be had and free swap, in MiB. */
function headroomMiB(): number {
  const fields = readFileSync("/proc/meminfo", "utf8").matchAll(
    /^(MemAvailable|SwapFree): *(\d+)/gm,
  );
  return [...fields].reduce((sum, [, , kib]) => sum + Number(kib), 0) / 1024;
}

const heap = (growingPercent: number): string[] => [
  "--max-semi-space-size=1",
  `--heap-growing-percent=${growingPercent}`,
  "--no-memory-reducer",
  "--max-old-space-size=2000",
];

/** On a host that may be lost: without a limit, so that memory and swap themselves run out. */
export const hostWorkloads: Readonly<Record<string, Workload>> = {
  "host-leak": {
    what: "A leak on a host of 512 MiB that fills its memory and 256 MiB of swap; it is started again.",
    runsOut: true,
    restarted: true,
    run(run) {
      const mibPerMinute = headroomMiB() / 62;
      follow(run, () => mibPerMinute * run.age());
    },
  },
  "host-requests": {
    what: "Requests that come and go.",
    runsOut: false,
    restarted: true,
    run(run) {
      const requests = new Requests();
      run.everySecond((seconds) => requests.serve(run, seconds, 1));
    },
  },
  "host-reads": {
    what: "Files are read round and round: page cache.",
    runsOut: false,
    restarted: true,
    run: (run) => readFiles(run, "/usr", 20),
  },
  "v2-leak": {
    what: "A leak of 1.4 MiB a minute in a cgroup of version 2 on that host, which swaps it out.",
    runsOut: true,
    limitMiB: 96,
    restarted: true,
    run: (run) => follow(run, () => 10 + 1.4 * run.age()),
  },
};

/** Below a limit of their own, all at once on one host. */
export const workloads: Readonly<Record<string, Workload>> = {
  "steady-leak": {
    what: "A steady leak of 2 MiB a minute.",
    runsOut: true,
    limitMiB: 200,
    restarted: false,
    run: (run) => follow(run, () => 20 + 2 * run.age()),
  },
  "noisy-leak": {
    what: "A leak of 2.1 MiB a minute below requests that take and give back some 15 MiB.",
    runsOut: true,
    limitMiB: 256,
    restarted: false,
    run(run) {
      follow(run, () => 30 + 2.1 * run.age());
      const requests = new Requests();
      run.everySecond((seconds) => requests.serve(run, seconds, 2));
    },
  },
  "slow-leak": {
    what: "A leak of 0.9 MiB a minute that needs hours more than the recording lasts.",
    runsOut: true,
    limitMiB: 400,
    restarted: false,
    run(run) {
      follow(run, () => 190 + 0.9 * run.age());
      const requests = new Requests();
      run.everySecond((seconds) => requests.serve(run, seconds, 1));
    },
  },
  "supervised-leak": {
    what: "A leak that fills its limit in 35 minutes, and its supervisor starts it again.",
    runsOut: true,
    limitMiB: 256,
    restarted: true,
    run(run) {
      follow(run, () => 20 + 5.9 * run.age());
      const requests = new Requests();
      run.everySecond((seconds) => requests.serve(run, seconds, 1));
    },
  },
  "fast-leak": {
    what: "Steady at a third for 38 minutes, then a leak that fills the limit in 9; twice.",
    runsOut: true,
    limitMiB: 200,
    restarted: true,
    run: (run) => follow(run, () => 35 + 18 * Math.max(0, run.age() - 38)),
  },
  staircase: {
    what: "A leak in steps: 16 MiB more every 6 to 10 minutes.",
    runsOut: true,
    limitMiB: 200,
    restarted: false,
    run(run) {
      let heldMiB = 30;
      let next = 6;
      follow(run, () => {
        if (run.age() > next) {
          heldMiB += 16;
          next = run.age() + 6 + 4 * run.random();
        }
        return heldMiB;
      });
    },
  },
  "gc-short": {
    what: "A collected heap: V8's sawtooth with teeth of 4 minutes.",
    runsOut: false,
    limitMiB: 192,
    restarted: false,
    nodeFlags: heap(350),
    run: (run) => collected(run, 22, 0),
  },
  "gc-long": {
    what: "A collected heap: V8's sawtooth with teeth of some 20 minutes.",
    runsOut: false,
    limitMiB: 192,
    restarted: false,
    nodeFlags: heap(400),
    run: (run) => collected(run, 4.5, 0),
  },
  "gc-leak": {
    what: "A leak below the sawtooth of a collected heap.",
    runsOut: true,
    limitMiB: 200,
    restarted: false,
    nodeFlags: heap(100),
    run: (run) => collected(run, 8, 0.95),
  },
  "cache-fill": {
    what: "Files twice the limit are written round and round: page cache up to the limit.",
    runsOut: false,
    limitMiB: 200,
    restarted: false,
    run: (run) => writeFiles(run, run.diskDirectory, 400, 8),
  },
  "cache-and-leak": {
    what: "Page cache that stays at the limit, and a leak below it.",
    runsOut: true,
    limitMiB: 200,
    restarted: false,
    run(run) {
      follow(run, () => 25 + 1.95 * run.age());
      writeFiles(run, run.diskDirectory, 400, 20);
    },
  },
  "shmem-leak": {
    what: "Files pile up in /dev/shm, which no kill empties.",
    runsOut: true,
    limitMiB: 200,
    restarted: false,
    run: (run) => writeFiles(run, run.shmDirectory, 4000, 2.25),
  },
  "deploy-step": {
    what: "A service whose version of minute 40 takes 40 % more and stays there.",
    runsOut: false,
    limitMiB: 256,
    restarted: false,
    replacedAtMinutes: [40],
    run(run) {
      const held = run.minute() < 40 ? 95 : 150;
      follow(run, () => held * Math.min(1, run.age() / 0.7));
      const requests = new Requests();
      run.everySecond((seconds) => requests.serve(run, seconds, 1));
    },
  },
  "warm-up": {
    what: "Restarted at minute 25, a cache fills on a flattening curve to 76 % of the limit.",
    runsOut: false,
    limitMiB: 256,
    restarted: false,
    replacedAtMinutes: [25],
    run(run) {
      const tau = run.minute() < 25 ? 0.1 : 18;
      follow(run, () => 20 + 165 * (1 - Math.exp(-run.age() / tau)));
    },
  },
  "warm-up-fast": {
    what: "The same in a third of the time, after restarts at minutes 20 and 65.",
    runsOut: false,
    limitMiB: 256,
    restarted: false,
    replacedAtMinutes: [20, 65],
    run(run) {
      const tau = run.minute() < 20 ? 0.1 : 6;
      follow(run, () => 20 + 165 * (1 - Math.exp(-run.age() / tau)));
    },
  },
  bursts: {
    what: "Bursts from a quarter to 80 % of the limit and back, at random.",
    runsOut: false,
    limitMiB: 256,
    restarted: false,
    run(run) {
      let heldMiB = 50;
      let until = 4;
      follow(run, () => {
        if (run.age() > until) {
          const burst = heldMiB < 60;
          heldMiB = burst ? 185 + 20 * run.random() : 50;
          until = run.age() + (burst ? 0.5 + 3.5 * run.random() : 5 + 8 * run.random());
        }
        return heldMiB;
      });
    },
  },
  "burst-kill": {
    what: "From 40 % of the limit to a kill within a minute; twice.",
    runsOut: true,
    limitMiB: 200,
    restarted: true,
    run: (run) => follow(run, () => 40 + 160 * Math.max(0, run.age() - 45)),
  },
  idle: {
    what: "Steady at 70 % of the limit, with few requests.",
    runsOut: false,
    limitMiB: 256,
    restarted: false,
    run(run) {
      follow(run, () => 155);
      const requests = new Requests();
      run.everySecond((seconds) => requests.serve(run, seconds, 0.3));
    },
  },
  "batch-job": {
    what: "A job that grows for 25 minutes to 75 % of the limit and ends; every 35 minutes.",
    runsOut: false,
    limitMiB: 256,
    restarted: false,
    run: (run) =>
      follow(run, () => (run.age() % 35 < 10 ? 20 : 20 + (165 * ((run.age() % 35) - 10)) / 25)),
  },
  tide: {
    what: "Load that comes and goes as over a day, from 35 % to 75 % in 45 minutes and back.",
    runsOut: false,
    limitMiB: 256,
    restarted: false,
    run(run) {
      follow(run, () => 105 - 60 * Math.cos((2 * Math.PI * run.age()) / 90));
      const requests = new Requests();
      run.everySecond((seconds) => requests.serve(run, seconds, 1));
    },
  },
};
