import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually, main, sampleOf, temporaryDirectory } from "../setup/exporter-process.ts";
import { fixtureHost } from "../setup/fixture-host.ts";

let directory: ReturnType<typeof temporaryDirectory>;
let children: ReturnType<typeof spawn>[];

beforeEach(() => {
  directory = temporaryDirectory();
  children = [];
});

afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  directory.remove();
});

const { procfs, sysfs, rootfs } = fixtureHost("v2-systemd");

/** The built exporter with the given stdout and stderr. */
function start(stdout: number | "pipe", stderr: number | "pipe") {
  const child = spawn(
    process.execPath,
    [
      main,
      "--web.listen-address=127.0.0.1:0",
      `--path.procfs=${procfs}`,
      `--path.sysfs=${sysfs}`,
      `--path.rootfs=${rootfs}`,
      `--state.directory=${join(directory.path, "state")}`,
      "--kernel-log.source=none",
    ],
    { stdio: ["ignore", stdout, stderr], env: { ...process.env, STATE_DIRECTORY: "" } },
  );
  children.push(child);
  return child;
}

it("prints JSON only with --log.format=json, from the start line to the stop", async () => {
  const log = join(directory.path, "kern.log");
  const blocked = join(directory.path, "blocked");
  closeSync(openSync(blocked, "w"));
  const child = spawn(
    process.execPath,
    [
      main,
      ...["--web.listen-address=127.0.0.1:0", "--log.format=json", "--log.level=debug"],
      ...[`--path.procfs=${procfs}`, `--path.sysfs=${sysfs}`, `--path.rootfs=${rootfs}`],
      ...[`--kernel-log.file=${log}`, `--state.directory=${join(blocked, "state")}`],
    ],
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, STATE_DIRECTORY: "" } },
  );
  children.push(child);
  const printed = Promise.all([text(child.stdout), text(child.stderr)]);
  const port = await servingPort(child);
  // Something to complain about, and something that gets well again.
  closeSync(openSync(log, "w"));
  await eventually("it reads the log", async () =>
    (await scrape(port))?.includes('oom_log_source_up{source="file"} 1'),
  );
  child.kill("SIGTERM");
  const [stdout, stderr] = await printed;
  const [start, ...more] = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(more).toEqual([]);
  expect(start).toEqual({
    level: "info",
    time: expect.any(String),
    msg: expect.stringMatching(/^oom-exporter \d.* serves http:/),
  });
  const lines = stderr
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const said = lines.map(({ msg }) => msg).join("\n");
  expect(said).toContain("cannot use the state directory");
  expect(said).toContain("the kernel log is being read");
  expect(said).toContain("stopping");
});

async function scrape(port: number): Promise<string | undefined> {
  try {
    return await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  } catch {
    return undefined;
  }
}

/** The port that the kernel gave it, once it serves there. */
async function servingPort({ pid }: ReturnType<typeof spawn>): Promise<number> {
  const port = await eventually("it listens", async () => listeningPort(pid as number));
  await eventually("it serves", () => scrape(port));
  return port;
}

function listeningPort(pid: number): number | undefined {
  const held = readdirSync(`/proc/${pid}/fd`).map((name) => linkOf(`/proc/${pid}/fd/${name}`));
  const row = readFileSync(`/proc/${pid}/net/tcp`, "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .find(([, , , state, , , , , , inode]) => state === "0A" && held.includes(`socket:[${inode}]`));
  return row && Number.parseInt(row[1]?.split(":")[1] ?? "", 16);
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

describe("its own output", () => {
  it("on a full disk costs lines, not the exporter, and the lines are counted", async () => {
    const full = openSync("/dev/full", "w");
    const child = start(full, full);
    closeSync(full);
    const port = await servingPort(child);
    expect(sampleOf((await scrape(port)) ?? "", "oom_exporter_lost_log_lines_total")).toBe(1);
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(0);
  });

  it("may lose its readers", async () => {
    const child = start("pipe", "pipe");
    child.stdout?.destroy();
    child.stderr?.destroy();
    const port = await servingPort(child);
    expect(sampleOf((await scrape(port)) ?? "", "oom_exporter_lost_log_lines_total")).toBe(1);
    expect(child.exitCode).toBeNull();
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(0);
  });
});

describe("signals", () => {
  it("SIGTERM: 30 scrapes that have been accepted are answered", async () => {
    const child = start("pipe", "pipe");
    const port = await servingPort(child);
    const clients = Array.from({ length: 30 }, () => createConnection(port, "127.0.0.1"));
    await Promise.all(clients.map((client) => once(client, "connect")));
    const answers = clients.map(async (client, index) => {
      // Different passes: each keeps the exporter busy, and the others waiting.
      const collector = ["host", "cgroups", "processes"][index % 3];
      client.write(`GET /metrics?collect[]=${collector} HTTP/1.1\r\nHost: a\r\n\r\n`);
      return text(client).catch((error: Error) => error.message);
    });
    child.kill("SIGTERM");
    const received = await Promise.all(answers);
    expect(received.map((answer) => answer.split("\r\n")[0])).toEqual(
      Array(30).fill("HTTP/1.1 200 OK"),
    );
    expect(received.filter((answer) => !answer.includes("process_open_fds"))).toEqual([]);
    expect((await once(child, "exit"))[0]).toBe(0);
  });

  it("SIGUSR1 does not open the inspector", async () => {
    const child = start("pipe", "pipe");
    let output = "";
    child.stderr?.on("data", (chunk) => {
      output += chunk;
    });
    const port = await servingPort(child);
    const before = listening(child.pid as number);
    child.kill("SIGUSR1");
    // Two scrapes are more turns than the inspector needs to say that it listens.
    await scrape(port);
    await scrape(port);
    expect(output).not.toContain("Debugger");
    expect(listening(child.pid as number)).toEqual(before);
    expect(child.exitCode).toBeNull();
  });
});

/** Inodes of the listening sockets on the inspector's port, from /proc/net/tcp. */
function listening(pid: number): string[] {
  return ["tcp", "tcp6"]
    .flatMap((name) => readFileSync(`/proc/${pid}/net/${name}`, "utf8").split("\n").slice(1))
    .map((row) => row.trim().split(/\s+/))
    .filter(([, local, , state]) => state === "0A" && local?.endsWith(":2405"))
    .map((columns) => columns[9] as string);
}
