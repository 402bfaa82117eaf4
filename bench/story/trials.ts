/** The ways to die whose stories are judged. Each has units of its own: an earlier run in the same hour would be one loop with it. */
import { rmdirSync } from "node:fs";
import type { Outcome } from "../../src/kills/outcome.ts";
import type { TestCgroup } from "../../test/setup/memory-cgroup.ts";
import type { Stage } from "./stage.ts";

/** The kills of one cgroup, as the exporter should describe them. */
export interface Expected {
  cgroup: string;
  /** Whose limit it is. */
  limitCgroup: string;
  comm: string;
  /** The label; empty if nothing grew. */
  grower: string;
  outcome: Outcome;
  /** Whether something takes the victim's place. */
  isReplaced?: true;
  /** How often it is killed; a loop if more than once. */
  kills: number;
}

export interface Trial {
  expected: Expected;
  /** What had been there before anybody watched. */
  prepare?(): void;
  /** @param leadSeconds until memory runs out; more than two scrapes */
  run(leadSeconds: number): void;
}

/** From the last kill until its outcome has to be known. */
export const outcomeSeconds = 130;
/** Of a workload that is killed again and again: its age at each kill. */
const loopAgeSeconds = 22;
const restartSeconds = 5;
/** So long the last kill of a loop comes after the first. */
export const loopSeconds = 2 * (loopAgeSeconds + restartSeconds) + 10;

export const kinds: Readonly<Record<string, (stage: Stage, suffix: string) => Trial>> = {
  "parent's limit, a neighbour leaks": (stage, n) => {
    const shop = stage.limited(`shop${n}.slice`, 300);
    const postgres = shop.child(`postgres${n}.service`);
    const checkout = shop.child(`checkout${n}.service`);
    return {
      expected: { ...dies(postgres, "postgres", shop), grower: `checkout${n}.service` },
      prepare: () => {
        stage.start(postgres, stage.hog("postgres", calm(160)));
        stage.start(checkout, stage.hog("frontend", calm(20)));
      },
      run(leadSeconds) {
        const leak = { startMb: 10, waitSeconds: leadSeconds - 25, mbPerSecond: 4, toMb: 140 };
        stage.start(checkout, stage.hog("checkout", leak));
      },
    };
  },
  "parent's limit, a neighbour's burst": (stage, n) => {
    const pair = stage.limited(`pair${n}.slice`, 300);
    const settled = pair.child(`calm${n}.service`);
    const rush = pair.child(`rush${n}.service`);
    return {
      expected: { ...dies(settled, "calm", pair), grower: `rush${n}.service` },
      prepare: () => stage.start(settled, stage.hog("calm", calm(170))),
      run(leadSeconds) {
        stage.start(
          rush,
          stage.hog("rusher", { startMb: 20, waitSeconds: leadSeconds, toMb: 145 }),
        );
      },
    };
  },
  "own limit, a leak": (stage, n) => {
    const leak = stage.limited(`leak${n}.service`, 100);
    return {
      expected: { ...dies(leak, "leaker"), grower: `leak${n}.service` },
      run(leadSeconds) {
        const rate = { startMb: 10, waitSeconds: leadSeconds - 25, mbPerSecond: 3, toMb: 500 };
        stage.start(leak, stage.hog("leaker", rate));
      },
    };
  },
  "own limit, a burst": (stage, n) => {
    const burst = stage.limited(`burst${n}.service`, 150);
    return {
      expected: { ...dies(burst, "burster"), grower: `burst${n}.service` },
      run(leadSeconds) {
        const all = { startMb: 15, waitSeconds: leadSeconds, toMb: 400 };
        stage.start(burst, stage.hog("burster", all));
      },
    };
  },
  "steady, one drop too many": (stage, n) => {
    const steady = stage.limited(`steady${n}.slice`, 300);
    const smaller = steady.child(`a${n}.service`);
    const larger = steady.child(`b${n}.service`);
    return {
      expected: {
        ...dies(larger, "steady-b", steady),
        grower: "",
        outcome: "lives_on",
      },
      prepare() {
        stage.start(smaller, stage.hog("steady-a", calm(140)));
        stage.start(larger, stage.hog("steady-b", calm(150)));
      },
      run: (leadSeconds) =>
        // A twelfth of what would be growth each, from three processes.
        stage.later(leadSeconds, () => {
          for (let i = 0; i < 3; i++) {
            const drops = { startMb: 0, waitSeconds: 1, toMb: 4.5 };
            stage.start(i === 1 ? smaller : larger, stage.hog("drop", drops));
          }
        }),
    };
  },
  "a worker lost, its service goes on": (stage, n) => {
    const silent = stage.limited(`silent${n}.service`, 80);
    return {
      expected: { ...dies(silent, "worker"), grower: `silent${n}.service`, outcome: "lives_on" },
      run(leadSeconds) {
        stage.start(silent, "sleep 1000");
        stage.start(silent, stage.hog("worker", greedyAfter(leadSeconds)));
      },
    };
  },
  "a worker lost, another one started": (stage, n) => {
    const pool = stage.limited(`pool${n}.service`, 80);
    return {
      expected: {
        ...dies(pool, "pooled"),
        grower: `pool${n}.service`,
        outcome: "respawned",
        isReplaced: true,
      },
      run(leadSeconds) {
        stage.start(pool, "sleep 1000");
        const worker = stage.start(pool, stage.hog("pooled", greedyAfter(leadSeconds)));
        stage.after(worker, 3, () => stage.start(pool, stage.hog("pooled", calm(10))));
      },
    };
  },
  "restarted, and killed again twice": (stage, n) => {
    const again = stage.limited(`again${n}.service`, 80);
    const startAll = (left: number) => {
      const command = stage.hog("again", left > 0 ? greedyAfter(loopAgeSeconds - 2.3) : calm(10));
      const started = stage.start(again, command);
      if (left > 0) stage.after(started, restartSeconds, () => startAll(left - 1));
    };
    return {
      expected: {
        ...dies(again, "again"),
        grower: `again${n}.service`,
        outcome: "restarted",
        isReplaced: true,
        kills: 3,
      },
      run: (leadSeconds) => stage.later(leadSeconds - loopAgeSeconds, () => startAll(3)),
    };
  },
  "restarted in a cgroup made again": (stage, n) => {
    const name = `fresh${n}.service`;
    const fresh = stage.limited(name, 80);
    return {
      expected: {
        ...dies(fresh, "fresh"),
        grower: name,
        outcome: "restarted",
        isReplaced: true,
      },
      run(leadSeconds) {
        const first = stage.start(fresh, stage.hog("fresh", greedyAfter(leadSeconds)));
        stage.after(first, 1, () => rmdirSync(fresh.directory));
        stage.after(first, 4, () =>
          stage.start(stage.limited(name, 80), stage.hog("fresh", calm(10))),
        );
      },
    };
  },
  "its cgroup removed": (stage, n) => {
    const gone = stage.limited(`gone${n}.service`, 80);
    return {
      expected: { ...dies(gone, "goner"), grower: `gone${n}.service`, outcome: "gone" },
      run(leadSeconds) {
        const goner = stage.start(gone, stage.hog("goner", greedyAfter(leadSeconds)));
        stage.after(goner, 1.5, () => rmdirSync(gone.directory));
      },
    };
  },
};

function dies(cgroup: TestCgroup, comm: string, limit = cgroup): Omit<Expected, "grower"> {
  return {
    cgroup: cgroup.path,
    limitCgroup: limit.path,
    comm,
    outcome: "stopped",
    kills: 1,
  };
}

function calm(mb: number) {
  return { startMb: mb, waitSeconds: 0, toMb: mb };
}

/** Takes 30 MiB a second, from 10 MiB on. */
function greedyAfter(waitSeconds: number) {
  return { startMb: 10, waitSeconds, mbPerSecond: 30, toMb: 500 };
}
