import { copyFileSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { cached } from "../kit/cache.ts";
import { debianPrograms } from "../kit/debian-programs.ts";
import { sourceLines } from "../kit/debian-suite.ts";
import { run } from "../kit/run.ts";
import { temporaryDirectory } from "../setup/exporter-process.ts";

/*
 * The Debian package in a Debian 13 with nothing but its essential packages, as a person would look at it; without
 * systemd, which `npm run test:systemd` has. Needs root: npm run test:packages -- bare
 */

let directory: ReturnType<typeof temporaryDirectory>;
let root: string;

/** Runs a shell in it, with /proc, /sys and /dev for it alone; returns all that was printed. */
function inside(script: string): Promise<string> {
  const mounts = ["proc", "sys", "dev"].map((name) => `mount --rbind /${name} "$0/${name}"`);
  const enter = [...mounts, 'exec chroot "$0" sh -c "exec 2>&1; $1"'].join(" && ");
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", LANG: "C" };
  const words = ["--mount", "--propagation", "private", "sh", "-c", enter, root, script];
  return run("unshare", words, { env, cwd: "/" });
}

beforeAll(async () => {
  const base = await cached("bare/trixie.tar", async (building) => {
    const { env } = await debianPrograms(["mmdebstrap"]);
    const lines = await sourceLines(["trixie", "trixie-security"]);
    const options = ["--quiet", "--variant=minbase", "--format=tar", "trixie", building];
    await run("mmdebstrap", [...options, ...lines], { env });
  });
  directory = temporaryDirectory();
  root = join(directory.path, "debian");
  mkdirSync(root);
  await run("tar", ["-C", root, "--exclude=./dev/*", "-xpf", base]);
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
