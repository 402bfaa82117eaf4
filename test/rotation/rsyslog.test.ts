import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { expect, test } from "vitest";
import { debianTool } from "../setup/debian-tools.ts";
import { needs } from "../setup/needs.ts";
import { followLog, NumberedLines } from "./writer-process.ts";

const rsyslogd = await debianTool("rsyslog", "usr/sbin/rsyslogd");

needs(test, rsyslogd.obstacle)(
  "what the real rsyslogd writes through renames and SIGHUPs is delivered once",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "rsyslog-"));
    const path = join(directory, "kern.log");
    const port = 20_000 + (process.pid % 20_000);
    const configuration = join(directory, "rsyslog.conf");
    writeFileSync(
      configuration,
      [
        `global(workDirectory="${directory}")`,
        'module(load="imudp")',
        `input(type="imudp" address="127.0.0.1" port="${port}")`,
        'template(name="kern" type="string" string="%timestamp% host kernel:%msg%\\n")',
        `*.* action(type="omfile" file="${path}" template="kern")`,
      ].join("\n"),
    );
    const pidFile = join(directory, "pid");
    const daemon = spawn(rsyslogd.path as string, ["-n", "-f", configuration, "-i", pidFile], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const socket = createSocket("udp4");
    const send = (text: string) =>
      new Promise((resolve) => socket.send(`<3>${text}`, port, "127.0.0.1", resolve));
    const lines = new NumberedLines();
    const log = followLog(path, "start", lines, (reason) => expect.unreachable(reason));
    try {
      for (let tries = 0; lines.bytes === 0; tries++) {
        if (tries === 100) expect.unreachable("rsyslogd writes nothing");
        await send("kernel: are you there?");
        await wait(50);
      }
      let written = 0;
      for (let rotation = 0; rotation < 4; rotation++) {
        for (let burst = 0; burst < 50; burst++) {
          for (let i = 0; i < 20; i++) {
            const number = String(written++).padStart(9, "0");
            await send(`kernel: [${number}] Killed process ${number} (stress)`);
          }
          await wait(4);
          if (burst === 25) renameSync(path, `${path}.${9 - rotation}`);
          if (burst === 30) process.kill(Number(readFileSync(pidFile, "utf8")), "SIGHUP");
        }
      }
      for (let tries = 0; lines.count < written && tries < 50; tries++) await wait(20);
      expect(lines.check(written)).toEqual({ lost: 0, doubled: 0, disordered: 0 });
      expect(lines.rotations).toBe(4);
    } finally {
      log.stop();
      socket.close();
      const ended = once(daemon, "exit");
      daemon.kill("SIGTERM");
      await ended;
      rmSync(directory, { recursive: true });
    }
  },
);
