/** Where trials run: cgroups with limits, processes in them, and what is known of both. */
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { makeMemoryCgroup, type Started, type TestCgroup } from "../../test/setup/memory-cgroup.ts";
import { program } from "../cost/programs.ts";

const sampleEveryMs = 500;
const settledSamples = 6;
const settledBytes = 2 << 20;

/** What a hog takes. */
export interface Appetite {
  startMb: number;
  waitSeconds: number;
  /** Absent: all at once. */
  mbPerSecond?: number;
  toMb: number;
}

export interface Sample {
  /** Since the epoch. */
  atMs: number;
  bytes: number;
}

/** Of a process. */
export interface Life {
  pid: number;
  cgroup: string;
  /** Seconds from boot, as the kernel counts them. */
  bornSeconds: number;
}

export class Stage {
  readonly directory: string;
  readonly #root: TestCgroup;
  readonly #samples = new Map<string, Sample[]>();
  readonly #lives: Life[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #sampler: NodeJS.Timeout;
  #isOver = false;

  /** @param directory for programs */
  constructor(directory: string) {
    this.directory = directory;
    this.#root = makeMemoryCgroup();
    this.#sampler = setInterval(() => this.#sample(), sampleEveryMs);
  }

  /** A cgroup with a limit, whose use is recorded from the first time it is made. */
  limited(name: string, limitMb: number): TestCgroup {
    const cgroup = this.#root.child(name, limitMb << 20);
    if (!this.#samples.has(cgroup.path)) this.#samples.set(cgroup.path, []);
    return cgroup;
  }

  /** The command line of a hog. */
  hog(name: string, { startMb, waitSeconds, mbPerSecond = 0, toMb }: Appetite): string {
    mkdirSync(this.directory, { recursive: true });
    const path = join(this.directory, name);
    if (!existsSync(path)) copyFileSync(program("story/hog.c"), path);
    return `env HOG="${startMb} ${waitSeconds} ${mbPerSecond} ${toMb}" ${path}`;
  }

  start(cgroup: TestCgroup, command: string): Started {
    const started = cgroup.start(command);
    const { pid } = started;
    this.#lives.push({ pid, cgroup: cgroup.path, bornSeconds: bornSeconds(pid) });
    return started;
  }

  /** In so many seconds, unless the stage is cleared before. */
  later(seconds: number, then: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      then();
    }, seconds * 1000);
    this.#timers.add(timer);
  }

  /** The same, once `started` has ended. */
  after(started: Started, seconds: number, then: () => void): void {
    void started.ended.then(() => {
      if (!this.#isOver) this.later(seconds, then);
    });
  }

  /** Of the processes started in a cgroup, in order. */
  livesIn(cgroup: string): readonly Life[] {
    return this.#lives.filter((life) => life.cgroup === cgroup);
  }

  /** Until no cgroup with a limit has used more or less for some seconds. */
  async settled(): Promise<void> {
    const isSettled = (samples: readonly Sample[]) => {
      const last = samples.slice(-settledSamples).map(({ bytes }) => bytes);
      return last.length === settledSamples && Math.max(...last) - Math.min(...last) < settledBytes;
    };
    while (![...this.#samples.values()].every(isSettled)) await wait(sampleEveryMs);
  }

  samples(cgroup: string): readonly Sample[] {
    return this.#samples.get(cgroup) ?? [];
  }

  /** Ends and removes everything. */
  clear(): void {
    this.#isOver = true;
    clearInterval(this.#sampler);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#root.remove();
  }

  #sample(): void {
    for (const [path, samples] of this.#samples) {
      const bytes = anonymousBytes(`${this.#root.directory}${path.slice(this.#root.path.length)}`);
      if (bytes !== undefined) samples.push({ atMs: Date.now(), bytes });
    }
  }
}

function bornSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]) / 100;
}

/** Of a cgroup and those below it; `undefined` where it has gone. */
function anonymousBytes(directory: string): number | undefined {
  try {
    const text = readFileSync(join(directory, "memory.stat"), "latin1");
    const value = /^(?:total_rss|anon) (\d+)$/m.exec(text)?.[1];
    return value === undefined ? undefined : Number(value);
  } catch {
    return undefined;
  }
}
