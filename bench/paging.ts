/**
 * How long it takes from a real kill to the page about it.
 *
 *   node bench/run.mjs paging [KILLS]
 *
 * Needs root: kills in memory cgroups of its own, the built exporter (dist/), and Debian's Prometheus and
 * Alertmanager with the shipped rules, routing and intervals. From the moment the victim is dead to the
 * arrival of the webhook that names it. The kills fall on random moments of the intervals; all but the
 * first join a group that has already paged.
 */
import { spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { eventually } from "../test/setup/exporter-process.ts";
import { makeMemoryCgroup } from "../test/setup/memory-cgroup.ts";
import { startPagingStack } from "../test/setup/prometheus-stack.ts";

const kills = Number(process.argv[3] ?? 10);
const limitBytes = 12 << 20;
const promisedSeconds = 45;

const directory = mkdtempSync(join(tmpdir(), "oom-exporter-bench-"));
const greedy = join(directory, `oom-bench-${process.pid}`);
copyFileSync("/usr/bin/tail", greedy);
const cgroup = makeMemoryCgroup();
const exporter = spawn(
  process.execPath,
  [
    "dist/oom-exporter.mjs",
    "--web.listen-address=127.0.0.1:0",
    `--state.directory=${directory}/state`,
  ],
  { stdio: ["ignore", "pipe", "inherit"] },
);
const [startUpLine] = await exporter.stdout.take(1).toArray();
const target = /127\.0\.0\.1:\d+/.exec(`${startUpLine}`)?.[0] as string;
const stack = await startPagingStack({ targets: [target] });
try {
  await eventually(
    "the exporter is scraped",
    async () => (await stack.query("oom_kills_total")).length > 0,
    60_000,
  );
  const seconds: number[] = [];
  for (let index = 0; index < kills; index++) {
    await wait(Math.random() * 15_000);
    const { pid } = await cgroup.child(`k${index}`, limitBytes).run(`${greedy} /dev/zero`);
    const diedMs = Date.now();
    const page = await eventually(
      `the page about ${pid}`,
      async () =>
        stack.notifications.find(({ alerts }) =>
          alerts.some(({ labels }) => labels.alertname === "OomKill" && labels.pid === `${pid}`),
        ),
      120_000,
    );
    seconds.push((page.arrivedMs - diedMs) / 1000);
    console.log(`kill ${index + 1}: ${seconds.at(-1)?.toFixed(1)} s`);
  }
  const message = await eventually("a message", async () => stack.messages[0]);
  console.log(`\nThe first page, as people read it:\n\n${message.title}\n\n${message.text}\n`);
  seconds.sort((a, b) => a - b);
  const at = (share: number) => seconds[Math.ceil(share * seconds.length) - 1]?.toFixed(1);
  console.log(
    `${kills} kills: shortest ${at(0.01)} s, median ${at(0.5)} s, longest ${at(1)} s (promised: ${promisedSeconds} s)`,
  );
} finally {
  await stack.end();
  exporter.kill();
  cgroup.remove();
  rmSync(directory, { recursive: true, force: true });
}
