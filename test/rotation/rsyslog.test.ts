import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { expect, test } from "vitest";
import { debianTool } from "../setup/debian-tools.ts";
import { eventually } from "../setup/exporter-process.ts";
import { needs } from "../setup/needs.ts";
import { followLog, NumberedLines } from "./writer-process.ts";

const rsyslogd = await debianTool("rsyslog", "usr/sbin/rsyslogd");

needs(test, rsyslogd.obstacle)(
  "what the real rsyslogd writes through renames and SIGHUPs is delivered once",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "rsyslog-"));
    const path = join(directory, "kern.log");
    const portFile = join(directory, "port");
    const configuration = join(directory, "rsyslog.conf");
    writeFileSync(
      configuration,
      [
        `global(workDirectory="${directory}")`,
        'module(load="imptcp")',
        `input(type="imptcp" address="127.0.0.1" port="0" listenPortFileName="${portFile}")`,
        'template(name="kern" type="string" string="%timestamp% host kernel:%msg%\\n")',
        `*.* action(type="omfile" file="${path}" template="kern")`,
      ].join("\n"),
    );
    const pidFile = join(directory, "pid");
    const daemon = spawn(rsyslogd.path as string, ["-n", "-f", configuration, "-i", pidFile], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const lines = new NumberedLines();
    let socket: Socket | undefined;
    const log = followLog(path, "start", lines, (reason) => expect.unreachable(reason));
    try {
      const readPort = async () => existsSync(portFile) && readFileSync(portFile, "utf8").trim();
      const port = Number(await eventually("rsyslogd listens", readPort));
      socket = connect(port, "127.0.0.1");
      await once(socket, "connect");
      let written = 0;
      for (let rotation = 0; rotation < 4; rotation++) {
        for (let burst = 0; burst < 50; burst++) {
          for (let i = 0; i < 20; i++) {
            const number = String(written++).padStart(9, "0");
            socket.write(`<3>kernel: [${number}] Killed process ${number} (stress)\n`);
          }
          await wait(4);
          if (burst === 25) {
            // It writes to the path, not any more to the file that was renamed before.
            await eventually("lines on the path", async () => existsSync(path));
            renameSync(path, `${path}.${9 - rotation}`);
          }
          if (burst === 30) process.kill(Number(readFileSync(pidFile, "utf8")), "SIGHUP");
        }
      }
      await eventually("all lines", async () => lines.count >= written);
      await eventually("all rotations", async () => lines.rotations >= 4);
      expect(lines.check(written)).toEqual({ lost: 0, doubled: 0, disordered: 0 });
      expect(lines.rotations).toBe(4);
    } finally {
      log.stop();
      socket?.destroy();
      const ended = once(daemon, "exit");
      daemon.kill("SIGTERM");
      await ended;
      rmSync(directory, { recursive: true });
    }
  },
);
