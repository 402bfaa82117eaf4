import { existsSync, mkdirSync, rmSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import type { Kill } from "../../src/kills/kill.ts";
import { incidentOf } from "../../src/kills/kill-deduplicator.ts";
import type { Settled } from "../../src/kills/outcome.ts";
import { ownerOfCgroup } from "../../src/kills/owner.ts";
import { OutcomeWatch } from "../../src/recorder/outcome-watch.ts";
import { bootA, bootB, killOf, sighting } from "../kills/sample-kill.ts";
import { openHost } from "../setup/opened-host.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";

const killedSeconds = 1000;
const unit = "/system.slice/shop.service";

let host: TemporaryTree;
let nowSeconds: number;
let watched: Map<string, Kill>;
let settled: Map<string, Settled | undefined>;
let lookTakesMs: number;
let isLooking: boolean;

beforeEach(() => {
  host = new TemporaryTree();
  nowSeconds = killedSeconds;
  watched = new Map();
  settled = new Map();
  lookTakesMs = 0;
  isLooking = false;
  host.write("sys/fs/cgroup", { "cgroup.controllers": "memory" });
  host.write("proc", { meminfo: "MemTotal: 1024 kB" });
});

function addCgroup(path: string, pids: number[]): void {
  const above = path.slice(0, path.lastIndexOf("/"));
  if (above !== "" && !existsSync(host.path(`sys/fs/cgroup${above}/memory.current`))) {
    addCgroup(above, []);
  }
  host.write(`sys/fs/cgroup${path}`, {
    "memory.current": 4096,
    "memory.max": "max",
    "cgroup.procs": pids.join("\n"),
    "cgroup.events": "populated 1",
  });
}

function addProcess(pid: number, comm: string, bornSeconds: number, state = "S"): void {
  const fields = [state, ...new Array(18).fill(0), bornSeconds * 100, 0, 0];
  host.write(`proc/${pid}`, { stat: `${pid} (${comm}) ${fields.join(" ")}` });
}

function kill(cgroup: string | null, more: Partial<Kill> = {}): Kill {
  const of = sighting({ pid: more.pid ?? 50, comm: "php" });
  const added = killOf(of, { cgroup, owner: ownerOfCgroup(cgroup), ...more });
  watched.set(added.incident, added);
  return added;
}

function watch(boot = bootA, cgroups: Parameters<typeof openHost>[1] = {}): OutcomeWatch {
  const { files, tree, owners } = openHost(host.roots, cgroups);
  return new OutcomeWatch({
    counting: {
      watched: () => [...watched.values()].map((kill) => ({ kill, killedSeconds })),
      settle: (incident, outcome) => {
        watched.delete(incident);
        settled.set(incident, outcome);
      },
    },
    files,
    tree,
    owners,
    boot,
    bootSeconds: () => {
      isLooking = true;
      return nowSeconds;
    },
    monotonicMs: () => {
      const ms = nowSeconds * 1000 + (isLooking ? lookTakesMs : 0);
      isLooking = false;
      return ms;
    },
  });
}

/** Looks once a second until so many seconds after the kill. */
function lookUntil(looking: OutcomeWatch, seconds: number): void {
  for (; nowSeconds <= killedSeconds + seconds; nowSeconds++) {
    looking.look();
  }
}

const outcomes = () => [...settled.values()].map((one) => one?.outcome);

describe("the cgroup of a victim", () => {
  it("is watched until the two minutes are over: a worker that nobody starts again", () => {
    addCgroup(unit, [7]);
    addProcess(7, "master", 10);
    kill(unit);
    const looking = watch();
    lookUntil(looking, 119);
    expect(outcomes()).toEqual([]);
    lookUntil(looking, 121);
    expect(outcomes()).toEqual(["lives_on"]);
  });

  it("is settled as soon as two looks have seen what took the victim's place", () => {
    addCgroup(unit, [7, 61]);
    addProcess(7, "master", 10);
    addProcess(61, "php", 1003);
    kill(unit);
    const looking = watch();
    looking.look();
    expect(outcomes()).toEqual([]);
    lookUntil(looking, 3);
    expect([...settled.values()]).toEqual([{ outcome: "respawned", restartSeconds: 3 }]);
  });

  it("is watched at least every 10 seconds, however slow the machine is", () => {
    addCgroup(unit, [7]);
    addProcess(7, "master", 10);
    lookTakesMs = 900;
    kill(unit);
    const looking = watch();
    lookUntil(looking, 5);
    addCgroup(unit, [7, 8]);
    addProcess(8, "php", killedSeconds + 6);
    lookUntil(looking, 21);
    expect([...settled.values()]).toEqual([{ outcome: "respawned", restartSeconds: 6 }]);
  });

  it("counts the processes of cgroups below it, and none that has ended", () => {
    addCgroup(unit, [8]);
    addProcess(8, "php", 900, "Z");
    addCgroup(`${unit}/inner`, [9]);
    addProcess(9, "php", 900);
    kill(unit);
    lookUntil(watch(), 121);
    expect(outcomes()).toEqual(["lives_on"]);
  });

  it("is gone where it was removed, and stopped where it is empty", () => {
    addCgroup("/system.slice/empty.service", []);
    kill("/system.slice/empty.service", { incident: `${bootA.slice(0, 8)}-2-2` });
    kill(unit);
    lookUntil(watch(), 121);
    expect(outcomes().sort()).toEqual(["gone", "stopped"]);
  });

  it("is followed by the new one of the same container of the same pod", () => {
    const podUid = "8f3a1c2e-0000-4000-8000-000000000001";
    const podPath = `/kubepods/burstable/pod${podUid}`;
    kill(`${podPath}/${"a".repeat(64)}`);
    addCgroup(`${podPath}/${"b".repeat(64)}`, [61]);
    addProcess(61, "php", 1020);
    const looking = watch();
    const { tree } = openHost(host.roots);
    looking.noteCgroups(tree?.read() as never);
    lookUntil(looking, 3);
    expect([...settled.values()]).toEqual([{ outcome: "restarted", restartSeconds: 20 }]);
  });

  it("is followed by the new one also where the readings leave that out", () => {
    kill("/system.slice/old.slice/shop.service");
    addCgroup(unit, [61]);
    addProcess(61, "php", 1020);
    lookUntil(watch(bootA, { cgroups: { max: 2000, include: undefined, exclude: /shop/ } }), 121);
    expect([...settled.values()]).toEqual([{ outcome: "restarted", restartSeconds: 20 }]);
  });

  it("is read again at the end, for what was started since the last snapshot", () => {
    kill("/system.slice/old.slice/shop.service");
    const looking = watch();
    lookUntil(looking, 118);
    addCgroup(unit, [61]);
    addProcess(61, "php", 1118);
    lookUntil(looking, 121);
    expect([...settled.values()]).toEqual([{ outcome: "restarted", restartSeconds: 118 }]);
  });
});

describe("after a restart of the exporter", () => {
  it("a watch is resumed, and one whose time is over ends with what there is", () => {
    addCgroup(unit, [7]);
    addProcess(7, "master", 10);
    kill(unit);
    nowSeconds = killedSeconds + 300;
    watch().look();
    expect(outcomes()).toEqual(["lives_on"]);
  });

  it.each([
    ["ten minutes after the kill", killedSeconds + 601, bootA],
    ["in another boot", killedSeconds + 60, bootB],
  ])("nothing is said of the kill %s", (_, seconds, boot) => {
    addCgroup(unit, [7]);
    addProcess(7, "master", 10);
    kill(unit);
    nowSeconds = seconds;
    watch(boot).look();
    expect(outcomes()).toEqual([undefined]);
  });
});

describe("nothing is said", () => {
  it("of a cgroup whose list of processes cannot be read", () => {
    addCgroup(unit, []);
    rmSync(host.path(`sys/fs/cgroup${unit}/cgroup.procs`));
    mkdirSync(host.path(`sys/fs/cgroup${unit}/cgroup.procs`));
    kill(unit);
    watch().look();
    expect(outcomes()).toEqual([undefined]);
  });

  it("of a kill without a cgroup, and of the root, which is no workload", () => {
    kill(null);
    kill("/", { incident: incidentOf(sighting({ pid: 51 })) });
    watch().look();
    expect(outcomes()).toEqual([undefined, undefined]);
  });

  it("where processes of the cgroup are out of sight", () => {
    addCgroup(unit, [0, 7]);
    addProcess(7, "master", 10);
    kill(unit);
    watch().look();
    expect(outcomes()).toEqual([undefined]);
  });

  it("of a cgroup that is not there, where only a part of the hierarchy is in sight", () => {
    host.write("sys/fs/cgroup", { "cgroup.events": "populated 1" });
    kill(unit);
    watch().look();
    expect(outcomes()).toEqual([undefined]);
  });
});
