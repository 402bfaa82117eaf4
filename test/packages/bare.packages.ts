import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { insideRoot, unpackBareRoot } from "../kit/bare-root.ts";
import { debianPrograms } from "../kit/debian-programs.ts";
import { run } from "../kit/run.ts";
import { temporaryDirectory } from "../setup/exporter-process.ts";

/*
 * The Debian package in a Debian 13 with nothing but its essential packages, as a person would look at it; without
 * systemd, which `npm run test:systemd` has. Needs root: npm run test:packages -- bare
 */

let directory: ReturnType<typeof temporaryDirectory>;
let root: string;

/** Runs a shell line in it; returns all that was printed. */
function inside(line: string): Promise<string> {
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", LANG: "C" };
  return run("unshare", insideRoot(root, `exec 2>&1; ${line}`), { env, cwd: "/" });
}

beforeAll(async () => {
  directory = temporaryDirectory();
  root = join(directory.path, "debian");
  mkdirSync(root);
  await unpackBareRoot("trixie", root);
  const deb = readdirSync(inject("artefacts")).find((name) => name.endsWith(".deb"));
  copyFileSync(join(inject("artefacts"), deb as string), join(root, "oom-exporter.deb"));
}, 600_000);

afterAll(() => {
  rmSync(directory.path, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

it("installs, answers, and is purged without a trace", async () => {
  const commands = [
    "dpkg -i /oom-exporter.deb",
    "oom-exporter --version",
    "oom-exporter doctor; echo doctor $?",
    "oom-exporter victims --top 3; echo victims $?",
    "oom-exporter --web.listen-address=127.0.0.1:10136 & oom-exporter --check --check.wait=60 --web.listen-address=127.0.0.1:10136; echo checked $?; kill $!; wait",
    "oom-exporter --web.listn-address=:1; echo refused $?",
    "dpkg -P oom-exporter; echo purged $?",
    "find / -xdev -name '*oom-exporter*' -not -name oom-exporter.deb | grep -v ^/var/log; echo nothing else",
  ];
  const transcript: string[] = [];
  for (const command of commands) transcript.push(`# ${command}\n${await inside(command)}`);
  console.log(transcript.join("\n"));
  const text = transcript.join("");
  expect(text).toContain("Setting up oom-exporter");
  expect(text).toMatch(/^oom-exporter \d+\.\d+\.\d+ \(Node\.js /m);
  expect(text).toMatch(/^doctor 0$/m);
  expect(text).toMatch(/^victims 0$/m);
  expect(text).toMatch(/^checked 0$/m);
  expect(text).toMatch(/^refused 2$/m);
  expect(text).toMatch(/^purged 0$/m);
  expect(text.trimEnd().split("\n").slice(-2)).toEqual([
    expect.stringContaining("find /"),
    "nothing else",
  ]);
});

it("as an RPM asks systemd for what it should, by scriptlets that rpm runs", async () => {
  const { root: programs, env } = await debianPrograms(["rpm"]);
  const settings = { ...env, RPM_CONFIGDIR: join(programs, "usr/lib/rpm") };
  const name = readdirSync(inject("artefacts")).find((entry) => entry.endsWith(".rpm"));
  const asked = join(root, "asked");
  // A systemd that only notes what it is asked for.
  mkdirSync(join(root, "run/systemd/system"), { recursive: true });
  const note = '#!/bin/sh\necho "$@" >>/asked\n';
  writeFileSync(join(root, "usr/bin/systemctl"), note, { mode: 0o755 });
  const step = async (...words: string[]) => {
    writeFileSync(asked, "");
    const own = ["--root", root, "--dbpath", "/rpmdb", "--nodeps"];
    await run("rpm", [...own, ...words], { env: settings });
    return readFileSync(asked, "utf8").trimEnd().split("\n");
  };
  const file = join(inject("artefacts"), name as string);
  expect(await step("--install", file)).toEqual([
    "--system daemon-reload",
    "--no-reload preset oom-exporter.service",
  ]);
  // An upgrade: the new one's %post, then the old one's %postun.
  expect(await step("--upgrade", "--force", file)).toEqual([
    "--system daemon-reload",
    "--system daemon-reload",
    "try-restart oom-exporter.service",
  ]);
  expect(await step("--erase", "oom-exporter")).toEqual([
    "--no-reload disable --now oom-exporter.socket oom-exporter.service",
    "stop oomexporter.slice",
    "--system daemon-reload",
  ]);
});
