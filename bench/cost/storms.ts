import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import type { Kill } from "../../src/kills/kill.ts";
import { exporter } from "./contenders.ts";
import { startHelper } from "./programs.ts";
import type { CostOptions, Line, Result } from "./result.ts";

const victims = 60;
const livesMs = [1000, 2000] as const;
const scrapeEveryMs = 10_000;
/** Its baseline of the kernel's count and its first look at all processes are made by then. */
const settleMs = 4000;
/** What the log brings later, the kernel's own counts and dead cgroups have said all they can by then. */
const laterMs = 12_000;

/** Whether kills carry their own cgroup, another one or none. */
interface Naming {
  named: number;
  none: number;
  wrong: number;
}

/** Dense storms on a quiet and a busy machine, scraped before and not: who is named, by label and later. */
export async function storms(options: CostOptions): Promise<Result> {
  const lines: Line[] = [];
  for (const isBusy of [false, true]) {
    for (const isScraped of [false, true]) {
      for (let left = options.storms; left > 0; left--) {
        lines.push(await storm(options, isBusy, isScraped));
      }
    }
  }
  return {
    title: `A dense storm: ${victims} processes that live ${livesMs[0] / 1000} to ${livesMs[1] / 1000} s in ${victims} new cgroups, started at once`,
    lines,
  };
}

async function storm(options: CostOptions, isBusy: boolean, isScraped: boolean): Promise<Line> {
  const flags = ["--kernel-log.source=kmsg"];
  const running = exporter({ command: options.exporter, flags }).start("");
  const spinners = isBusy ? spin() : [];
  let scrapes: NodeJS.Timeout | undefined;
  try {
    await running.ready("/-/healthy");
    if (isScraped) {
      await running.scrape();
      scrapes = setInterval(() => void running.scrape().catch(() => {}), scrapeEveryMs);
    }
    await wait(settleMs);
    const comm = `storm-${randomBytes(4).toString("hex")}`;
    const { cgroups, tookMs } = await killAll(comm);
    await wait(1000);
    const metrics = (await running.scrape()).text;
    const byLabel = naming(labelled(metrics, comm), cgroups);
    await wait(laterMs);
    const { kills } = JSON.parse(await running.get("/api/v1/kills?limit=1000")) as {
      kills: Kill[];
    };
    const ours = kills.filter((kill) => kill.comm === comm);
    const later = naming(new Map(ours.map(({ pid, cgroup }) => [pid, cgroup ?? ""])), cgroups);
    const counted = new RegExp(`^oom_command_kills_total\\{comm="${comm}"\\} (\\d+)`, "m");
    return {
      machine: isBusy ? "busy" : "quiet",
      scraped: isScraped ? "each 10 s" : "not before",
      killed: cgroups.size,
      "within, s": tookMs / 1000,
      counted: Number(counted.exec(metrics)?.[1] ?? 0),
      "label: named": byLabel.named,
      none: byLabel.none,
      wrong: byLabel.wrong,
      "API later: named": later.named,
      "none, later": later.none,
      "wrong, later": later.wrong,
      "without a report": ours.filter(({ suppressed }) => suppressed).length,
    };
  } finally {
    clearInterval(scrapes);
    for (const spinner of spinners) spinner.kill("SIGKILL");
    await running.stop();
  }
}

/** The cgroup of each process that the kernel killed, by pid. */
async function killAll(comm: string): Promise<{ cgroups: Map<number, string>; tookMs: number }> {
  const cgroups = new Map<number, string>();
  const storm = startHelper("cost/storm.c", [`${victims}`, comm, ...livesMs.map(String)]);
  try {
    for (;;) {
      const [what, value, cgroup = ""] = (await storm.line()).split(" ");
      if (what === "done") return { cgroups, tookMs: Number(value) };
      cgroups.set(Number(value), cgroup);
    }
  } finally {
    await storm.end();
  }
}

/** The cgroup that a kill's series carries, by pid. */
function labelled(metrics: string, comm: string): Map<number, string> {
  const series = metrics.matchAll(/^oom_kill_timestamp_seconds\{(.*)\} /gm);
  const kills = [...series].filter(([, labels = ""]) => labels.includes(`comm="${comm}"`));
  return new Map(
    kills.map(([, labels = ""]) => [
      Number(/pid="(\d+)"/.exec(labels)?.[1]),
      /,cgroup="([^"]*)"/.exec(labels)?.[1] ?? "",
    ]),
  );
}

function naming(said: ReadonlyMap<number, string>, truth: ReadonlyMap<number, string>): Naming {
  const names = [...truth].map(([pid, cgroup]) => ({ cgroup, said: said.get(pid) ?? "" }));
  return {
    named: names.filter((name) => name.said === name.cgroup).length,
    none: names.filter((name) => name.said === "").length,
    wrong: names.filter((name) => name.said !== "" && name.said !== name.cgroup).length,
  };
}

function spin(): ChildProcess[] {
  return Array.from({ length: availableParallelism() }, () =>
    spawn("sh", ["-c", "while :; do :; done"], { stdio: "ignore" }),
  );
}
