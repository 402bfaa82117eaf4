import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually, sampleOf, temporaryDirectory } from "../setup/exporter-process.ts";
import { fixtureHost } from "../setup/fixture-host.ts";

const main = new URL("../../dist/oom-exporter.mjs", import.meta.url).pathname;

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

/** The built exporter with the given stdout and stderr; its port is one that nobody else is given. */
function start(stdout: number | "pipe", stderr: number | "pipe", port: number) {
  const child = spawn(
    process.execPath,
    [
      main,
      `--web.listen-address=127.0.0.1:${port}`,
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

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

async function scrape(port: number): Promise<string | undefined> {
  try {
    return await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  } catch {
    return undefined;
  }
}

const serving = (port: number) => eventually("it serves", () => scrape(port), 20_000);

describe("its own output", () => {
  it("on a full disk costs lines, not the exporter, and the lines are counted", async () => {
    const full = openSync("/dev/full", "w");
    const port = await freePort();
    const child = start(full, full, port);
    closeSync(full);
    expect(sampleOf(await serving(port), "oom_exporter_lost_log_lines_total")).toBe(1);
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(0);
  });

  it("may lose its readers", async () => {
    const port = await freePort();
    const child = start("pipe", "pipe", port);
    child.stdout?.destroy();
    child.stderr?.destroy();
    expect(sampleOf(await serving(port), "oom_exporter_lost_log_lines_total")).toBe(1);
    expect(child.exitCode).toBeNull();
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(0);
  });
});

describe("signals", () => {
  it("SIGTERM: 30 scrapes that have been accepted are answered", async () => {
    const port = await freePort();
    const child = start("pipe", "pipe", port);
    await serving(port);
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
    const port = await freePort();
    const child = start("pipe", "pipe", port);
    let output = "";
    child.stderr?.on("data", (chunk) => {
      output += chunk;
    });
    await serving(port);
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

/** Inodes of the sockets that somebody listens on at the inspector's port, by /proc/net/tcp. */
function listening(pid: number): string[] {
  return ["tcp", "tcp6"]
    .flatMap((name) => readFileSync(`/proc/${pid}/net/${name}`, "utf8").split("\n").slice(1))
    .map((row) => row.trim().split(/\s+/))
    .filter(([, local, , state]) => state === "0A" && local?.endsWith(":2405"))
    .map((columns) => columns[9] as string);
}
