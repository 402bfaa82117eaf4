import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, onTestFailed } from "vitest";
import {
  type ExporterProcess,
  eventually,
  startExporter,
  temporaryDirectory,
} from "../setup/exporter-process.ts";
import { type KernelLogFile, writeKernelLogFile } from "../setup/kernel-log-file.ts";
import { makeMemoryCgroup, memoryCgroupObstacle, type TestCgroup } from "../setup/memory-cgroup.ts";
import {
  type Alert,
  type PagingStack,
  pagingStackObstacle,
  startPagingStack,
} from "../setup/prometheus-stack.ts";

const noPaging = await pagingStackObstacle();
const obstacle = memoryCgroupObstacle() ?? noPaging;
const limitBytes = 12 << 20;
/** A page is out within 45 s; a machine that does other things at the same time is given more. */
const pageWithinMs = 90_000;

let stack: PagingStack | undefined;

afterEach(async () => {
  await stack?.end();
  stack = undefined;
});

describe.skipIf(obstacle !== undefined)(`a page for a real kill (${obstacle ?? "as root"})`, () => {
  let cgroup: TestCgroup;
  let directory: ReturnType<typeof temporaryDirectory>;
  let log: KernelLogFile;
  let exporters: ExporterProcess[];
  let greedy: string;

  beforeEach(() => {
    directory = temporaryDirectory();
    mkdirSync(join(directory.path, "var/log"), { recursive: true });
    log = writeKernelLogFile(join(directory.path, "var/log/kern.log"));
    cgroup = makeMemoryCgroup();
    exporters = [];
    // Under a name of this test's own, so that no other kill on this machine is taken for ours.
    greedy = `oom-${randomBytes(4).toString("hex")}`;
    copyFileSync("/usr/bin/tail", join(directory.path, greedy));
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
  const kill = (name: string) =>
    cgroup.child(name, limitBytes).run(`${join(directory.path, greedy)} /dev/zero`);
  const isOurs = ({ labels }: Alert) => labels.alertname === "OomKill" && labels.comm === greedy;
  const pagesOf = (instance: string) =>
    (stack?.notifications ?? []).filter(
      ({ path, groupLabels, alerts }) =>
        path === "/page" && groupLabels.instance === instance && alerts.some(isOurs),
    );
  const firstPage = (instance: string) =>
    eventually("the page", async () => pagesOf(instance)[0], pageWithinMs);

  it("names victim, cgroup and cause, and leads to its story", { timeout: 150_000 }, async () => {
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
      `${greedy} (pid ${pid}) was killed on ${instance}`,
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
    const what = others === undefined ? `${greedy} killed in ${path}` : `${others} killed`;
    expect(message.title).toBe(`OOM ${instance}: ${what}`);
    const story = await fetch(alert?.annotations.story_url ?? "");
    expect(await story.text()).toContain(greedy);
  });

  // Another kill on this machine just before the storm opens the page that its first kills then join.
  it("is one for 60 kills at once, the worst first", { timeout: 150_000, retry: 1 }, async () => {
    const instance = await exporter("state");
    await watch([instance], true);
    const victims = await Promise.all(Array.from({ length: 60 }, (_, index) => kill(`w${index}`)));

    const page = await firstPage(instance);
    const paged = page.alerts.filter(isOurs).map(({ labels }) => Number(labels.pid));
    expect(paged.sort()).toEqual(victims.map(({ pid }) => pid).sort());
    const message = await eventually("the message", async () =>
      stack?.messages.find(({ text }) => text.includes(greedy)),
    );
    expect(message.title).toMatch(new RegExp(`^OOM ${instance}: \\d\\d processes killed$`));
    expect(message.text.split("\n")[0]).toBe(
      "Many processes were killed on one host within minutes.",
    );

    // Twice the time after which Alertmanager sends what has come since.
    await new Promise((resolve) => setTimeout(resolve, 13_000));
    expect(pagesOf(instance)).toHaveLength(1);
  });

  it("still comes when the log goes silent, and says where it does not", {
    timeout: 200_000,
  }, async () => {
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

describe.skipIf(noPaging !== undefined)(
  `a target with labels of its own (${noPaging ?? "as root"})`,
  () => {
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
    }, 150_000);
  },
);
