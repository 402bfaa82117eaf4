import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, onTestFailed, vi } from "vitest";
import {
  type ExporterProcess,
  eventually,
  startExporter,
  temporaryDirectory,
} from "../setup/exporter-process.ts";
import { type KernelLogFile, writeKernelLogFile } from "../setup/kernel-log-file.ts";
import { makeMemoryCgroup, memoryCgroupObstacle, type TestCgroup } from "../setup/memory-cgroup.ts";
import { needs } from "../setup/needs.ts";
import {
  type Alert,
  type Notification,
  type PagingStack,
  pagingStackObstacle,
  startPagingStack,
} from "../setup/prometheus-stack.ts";
import { GreedyProgram } from "../setup/victim.ts";

/** Pages take their time; some tests wait for several. */
vi.setConfig({ testTimeout: 600_000 });

const noPaging = await pagingStackObstacle();
const limitBytes = 12 << 20;
/** For what must come. How soon a page is out is measured: npm run bench -- paging. */
const pageWithinMs = 180_000;

let stack: PagingStack | undefined;

afterEach(async () => {
  await stack?.end();
  stack = undefined;
});

needs(describe, memoryCgroupObstacle() ?? noPaging)("a page for a real kill", () => {
  let cgroup: TestCgroup;
  let directory: ReturnType<typeof temporaryDirectory>;
  let log: KernelLogFile;
  let exporters: ExporterProcess[];
  let greedy: GreedyProgram;

  beforeEach(() => {
    directory = temporaryDirectory();
    mkdirSync(join(directory.path, "var/log"), { recursive: true });
    log = writeKernelLogFile(join(directory.path, "var/log/kern.log"));
    cgroup = makeMemoryCgroup();
    exporters = [];
    greedy = new GreedyProgram(directory.path);
  });

  afterEach(async () => {
    for (const exporter of exporters) await exporter.end();
    log.stop();
    cgroup.remove();
    directory.remove();
  });

  /** Reads the kern.log that the test writes; everything else is this machine's own. */
  const exporter = async (name: string, ...flags: string[]) => {
    const started = await startExporter([
      `--path.rootfs=${directory.path}`,
      `--state.directory=${join(directory.path, name)}`,
      ...flags,
    ]);
    exporters.push(started);
    onTestFailed(() => console.log(started.log()));
    return new URL(started.url).host;
  };
  /** The stack, and that it has scraped each exporter: what is killed from now on is new to it. */
  const watch = async (targets: string[], hurried: boolean) => {
    stack = await startPagingStack({ targets, hurried });
    for (const instance of targets) {
      const isSeen = async () =>
        (await stack?.query(`oom_kills_total{instance="${instance}"}`))?.length;
      await eventually(`${instance} is scraped`, isSeen, pageWithinMs);
    }
  };
  const kill = (name: string) => greedy.runIn(cgroup.child(name, limitBytes));
  const isOurs = ({ labels }: Alert) =>
    labels.alertname === "OomKill" && labels.comm === greedy.comm;
  const isOfStorm = (alert: Alert) => isOurs(alert) || alert.labels.alertname === "OomKillStorm";
  const pagesOf = (instance: string) =>
    (stack?.notifications ?? []).filter(
      ({ path, groupLabels, alerts }) =>
        path === "/page" && groupLabels.instance === instance && alerts.some(isOurs),
    );
  const firstPage = (instance: string) =>
    eventually("the page", async () => pagesOf(instance)[0], pageWithinMs);

  it("names victim, cgroup and cause, and leads to its story", async () => {
    const instance = await exporter("state");
    await watch([instance], false);
    const { pid } = await kill("worker");

    const page = await firstPage(instance);
    const alert = page.alerts.find(isOurs);
    const path = `${cgroup.path}/worker`;
    expect(alert?.labels).toMatchObject({
      severity: "critical",
      pid: `${pid}`,
      cgroup: path,
      limit_cgroup: path,
      cause: "cgroup_limit",
    });
    for (const words of [
      `${greedy.comm} (pid ${pid}) was killed on ${instance}`,
      `in cgroup ${path}`,
      "Cause: cgroup_limit.",
    ]) {
      expect(alert?.annotations.description).toContain(words);
    }
    const message = await eventually("the message for people", async () =>
      stack?.messages.find(({ text }) => text.includes(path)),
    );
    // Whatever else is killed on this machine at that moment is on the same page.
    const [others] = /\d+ processes/.exec(message.title) ?? [];
    const what = others === undefined ? `${greedy.comm} killed in ${path}` : `${others} killed`;
    expect(message.title).toBe(`OOM ${instance}: ${what}`);
    const story = await fetch(alert?.annotations.story_url ?? "");
    expect(await story.text()).toContain(greedy.comm);
  });

  it("is a single one for 60 simultaneous kills, worst first", async () => {
    const instance = await exporter("state");
    await watch([instance], true);
    const cgroups = Array.from({ length: 60 }, (_, i) => cgroup.child(`w${i}`, limitBytes));
    const victims = await greedy.holdIn(cgroups);
    // However long the kernel takes for them, the log shows them at one moment.
    log.hold();
    for (const { release } of victims) release();
    await Promise.all(victims.map(({ ended }) => ended));
    log.resume();

    const pidsOn = ({ alerts }: Notification) =>
      alerts.filter(isOurs).map(({ labels }) => Number(labels.pid));
    const isWhole = (page: Notification) => pidsOn(page).length === victims.length;
    const page = await eventually(
      "the page",
      async () => pagesOf(instance).find(isWhole),
      pageWithinMs,
    );
    expect(pidsOn(page).sort()).toEqual(victims.map(({ pid }) => pid).sort());
    const message = await eventually("the message", async () =>
      stack?.messages.findLast(({ text }) => text.includes(greedy.comm)),
    );
    expect(message.title).toMatch(new RegExp(`^OOM ${instance}: \\d+ processes killed$`));
    expect(message.text.split("\n")[0]).toBe(
      "Many processes were killed on one host within minutes.",
    );

    // The next page is the one for the next kill: none of the 60 came in between.
    const { pid } = await greedy.runIn(cgroup.child("later", limitBytes));
    await eventually(
      "the page for the next kill",
      async () => pagesOf(instance).some((later) => pidsOn(later).includes(pid)),
      pageWithinMs,
    );
    const ofStorm = pagesOf(instance).filter((each) => !pidsOn(each).includes(pid));
    // A kill of others on this machine opens a page that the first of the 60 may still join.
    const isOthers = ({ alerts }: Notification) => alerts.some((alert) => !isOfStorm(alert));
    expect(ofStorm.filter((each) => !isOthers(each)).length).toBeLessThanOrEqual(1);
    expect(ofStorm.filter(isWhole).length).toBeGreaterThanOrEqual(1);
  });

  it("still comes when the log goes silent, and reports the silence", async () => {
    const both = await exporter("auto");
    const fileOnly = await exporter("file", "--kernel-log.source=file");
    await watch([both, fileOnly], true);
    log.stop();
    const { pid } = await kill("unlogged");

    const page = await firstPage(both);
    expect(page.alerts.filter(isOurs).map(({ labels }) => labels.pid)).toEqual([`${pid}`]);
    const alertsOf = async (instance: string) => (await stack?.firing(instance)) ?? [];
    await eventually(
      "OomLogSourceDown",
      async () => (await alertsOf(both)).includes("OomLogSourceDown"),
      pageWithinMs,
    );
    expect(await alertsOf(both)).not.toContain("OomKillsUnaccounted");

    const unaccounted = await eventually(
      "the page for the kill that the log did not show",
      async () =>
        stack?.notifications.find(
          ({ path, groupLabels, alerts }) =>
            path === "/page" &&
            groupLabels.instance === fileOnly &&
            alerts.some(({ labels }) => labels.alertname === "OomKillsUnaccounted"),
        ),
      pageWithinMs,
    );
    expect(pagesOf(fileOnly)).toEqual([]);
    expect(unaccounted.groupLabels).toEqual({ instance: fileOnly });
  });
});

needs(describe, noPaging)("a target with labels of its own", () => {
  it("leaves the victim's namespace, pod and container on the kill and on its page", async () => {
    const kill = `oom_kill_timestamp_seconds{incident="0-1-7",pid="7",comm="java",constraint="memcg",cause="cgroup_limit",trigger="java",protection="default",cgroup="/p",unit="",container="api",pod="api-1",namespace="shop",limit_cgroup="/p"} ${Date.now() / 1000}`;
    const ownerless = `oom_workload_kills_total{cgroup="/u",unit="u.service",container="",pod="",namespace=""} 0`;
    const server = createServer((_request, response) => {
      response.setHeader("content-type", "text/plain; version=0.0.4");
      response.end(`${kill}\n${ownerless}\n`);
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    try {
      const target = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      const labels = {
        namespace: "monitoring",
        pod: "oom-exporter-x",
        container: "oom-exporter",
      };
      stack = await startPagingStack({ targets: [target], labels, hurried: true });
      const page = await eventually(
        "the page",
        async () => stack?.notifications.find(({ path }) => path === "/page"),
        pageWithinMs,
      );
      const owner = { namespace: "shop", pod: "api-1", container: "api" };
      expect(page.alerts[0]?.labels).toMatchObject({ alertname: "OomKill", ...owner });
      const [workload] = (await stack.query("oom_workload_kills_total")) ?? [];
      expect(workload?.metric).toEqual({
        __name__: "oom_workload_kills_total",
        job: "oom-exporter",
        instance: target,
        cgroup: "/u",
        unit: "u.service",
      });
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});
