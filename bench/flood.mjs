// Writes kernel log lines at a steady rate, one write per line; some of them are kills that carry the time
// they were written (CLOCK_MONOTONIC, ns) as the name of their victim. With `constraint` each follows its constraint
// line, as since Linux 5.0.
// usage: flood.mjs PATH LINES_PER_SECOND SECONDS [KILLS_PER_SECOND] [constraint]
import { openSync, writeSync } from "node:fs";

const path = process.argv[2];
const [rate, seconds, killsPerSecond = 100] = process.argv.slice(3, 6).map(Number);
const hasConstraint = process.argv[6] === "constraint";
const fd = openSync(path, "a");
const started = process.hrtime.bigint();
const noise =
  "Nov 21 04:00:00 host kernel: [ 1234.567890] IPv4: martian source 10.0.0.1 from 192.168.0.1, on dev eth0\n";
const everyKill = Math.max(1, Math.round(rate / killsPerSecond));
let written = 0;

const timer = setInterval(() => {
  const elapsed = Number(process.hrtime.bigint() - started) / 1e9;
  for (const due = Math.floor(Math.min(elapsed, seconds) * rate); written < due; written++) {
    if (killsPerSecond > 0 && written % everyKill === 0) {
      const now = process.hrtime.bigint();
      const pid = 1000 + ((written / everyKill) % 30_000);
      const constraint = `Nov 21 04:00:00 host kernel: [ 1234.567890] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/system.slice/flood.service,task=t${now},pid=${pid},uid=0\n`;
      writeSync(
        fd,
        `${hasConstraint ? constraint : ""}Nov 21 04:00:00 host kernel: [ 1234.567890] Out of memory: Killed process ${pid} (t${now}) total-vm:1kB, anon-rss:1kB, file-rss:1kB, shmem-rss:0kB, UID:0 pgtables:8kB oom_score_adj:0\n`,
      );
    } else {
      writeSync(fd, noise);
    }
  }
  if (elapsed >= seconds) {
    clearInterval(timer);
    process.stdout.write(`${written}\n`);
  }
}, 1);
