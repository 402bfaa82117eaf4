/**
 * Whether an honest scrape is answered while others crowd the exporter.
 *
 *   npm run build && node bench/connections.mjs [SECONDS] [--port=N] [--only=SCENARIO] [--crowd-nice=N]
 *
 * Scenarios, each for SECONDS (10): `nobody`; `idle`, 2,000 clients that connect and say nothing; `slow`, 200 that send
 * their request a byte a second or read nothing of the answer; `both`; `flood`, 6,000 that say nothing, more than the
 * exporter keeps. Each connection is opened again as soon as it is closed. The crowd runs in a process of its own and
 * comes from the same address; `--crowd-nice` gives it a lower priority, as if it ran on another machine. Every half
 * second one scrape on a new connection and one on a kept one: how many were answered within 1 s, and what share of one
 * processor the crowd and the exporter used meanwhile. `--port` asks a program that runs already, for comparison.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, get } from "node:http";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const [, self, ...words] = process.argv;
const option = (name) => words.find((word) => word.startsWith(`--${name}=`))?.split("=")[1];

if (option("crowd") === undefined) await measure();
else crowd(Number(option("port")), option("crowd"));

/** Never ends by itself. */
function crowd(port, kind) {
  const open = (behave) => {
    const socket = createConnection(port, "127.0.0.1", () => behave(socket));
    socket.on("error", () => {});
    socket.once("close", () => {
      setTimeout(() => open(behave), 1);
    });
  };
  const silent = () => {};
  const request = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
  const readsNothing = (socket) => {
    socket.pause();
    socket.write(request);
  };
  const sendsSlowly = (socket) => {
    let sent = 0;
    const timer = setInterval(() => socket.write(request[sent++ % request.length]), 1000);
    socket.once("close", () => clearInterval(timer));
  };
  const counts = { idle: [2000, 0], slow: [0, 200], both: [2000, 200], flood: [6000, 0] };
  const [silentOnes, slowOnes] = counts[kind];
  for (let count = 0; count < silentOnes; count++) open(silent);
  for (let count = 0; count < slowOnes; count++) open(count % 2 === 0 ? readsNothing : sendsSlowly);
  // Sockets that are not read would let it end.
  setInterval(() => {}, 1000);
}

async function measure() {
  const seconds = Number(words.find((word) => /^\d+$/.test(word)) ?? 10);
  const state = mkdtempSync(join(tmpdir(), "oom-exporter-bench-"));
  const given = option("port");
  const main = new URL("../dist/oom-exporter.mjs", import.meta.url).pathname;
  const flags = ["--web.listen-address=127.0.0.1:0", `--state.directory=${state}`];
  const exporter =
    given === undefined &&
    spawn(process.execPath, ["--single-threaded", main, ...flags], {
      stdio: ["ignore", "pipe", "ignore"],
    });
  const port =
    given ?? /127\.0\.0\.1:(\d+)/.exec(String((await once(exporter.stdout, "data"))[0]))?.[1];
  const only = option("only");
  const kinds = ["nobody", "idle", "slow", "both", "flood"];
  for (const kind of only === undefined ? kinds : [only]) {
    const crowdWords = [process.execPath, self, `--crowd=${kind}`, `--port=${port}`];
    const others =
      kind === "nobody"
        ? undefined
        : spawn("nice", ["-n", option("crowd-nice") ?? "0", ...crowdWords], { stdio: "ignore" });
    // So that the crowd is there.
    if (others !== undefined) await delay(1000);
    const began = { atMs: performance.now(), crowd: cpuMs(others), exporter: cpuMs(exporter) };
    const [fresh, kept] = await Promise.all([
      scrapes(port, seconds, false),
      scrapes(port, seconds, true),
    ]);
    const share = (child, before) =>
      `${Math.round((100 * (cpuMs(child) - before)) / (performance.now() - began.atMs))} %`;
    const shares = `crowd ${share(others, began.crowd)}, exporter ${share(exporter, began.exporter)} of a processor`;
    const anonymous =
      exporter &&
      /RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${exporter.pid}/status`, "utf8"))?.[1];
    console.log(
      `${kind.padEnd(6)} new ${shown(fresh)} | kept ${shown(kept)}${exporter ? ` | ${Math.round(anonymous / 1024)} MiB anonymous` : ""} | ${shares}`,
    );
    others?.kill("SIGKILL");
    await delay(1000);
  }
  if (exporter) {
    exporter.kill();
    await once(exporter, "exit");
  }
  rmSync(state, { recursive: true });
}

/** Processor time of a child process in ms. */
function cpuMs(child) {
  if (!child) return 0;
  const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function shown(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const within = times.filter((ms) => ms <= 1000).length;
  return `${within} of ${times.length} within 1 s, p50 ${Math.round(sorted[sorted.length >> 1])} ms, longest ${Math.round(sorted.at(-1))} ms`;
}

async function scrapes(port, seconds, keepAlive) {
  const agent = new Agent({ keepAlive, maxSockets: 1 });
  const times = [];
  const endMs = performance.now() + seconds * 1000;
  while (performance.now() < endMs) {
    const startMs = performance.now();
    // Like Prometheus' client: a kept connection that was closed meanwhile is opened again, once.
    const isAnswered = (await scrape(port, agent)) || (keepAlive && (await scrape(port, agent)));
    times.push(isAnswered ? performance.now() - startMs : Number.POSITIVE_INFINITY);
    await delay(Math.max(0, 500 - (performance.now() - startMs)));
  }
  agent.destroy();
  return times;
}

function scrape(port, agent) {
  return new Promise((resolve) => {
    const request = get(
      { port, host: "127.0.0.1", path: "/metrics", agent, timeout: 10_000 },
      (response) => {
        response.resume();
        response.once("end", () => resolve(response.statusCode === 200));
        response.once("error", () => resolve(false));
      },
    );
    request.once("timeout", () => request.destroy());
    request.once("error", () => resolve(false));
  });
}
