import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { run } from "../kit/run.ts";
import { eventually, temporaryDirectory } from "../setup/exporter-process.ts";

/*
 * The npm package in an empty folder, and a fresh clone: npm run test:packages -- npm
 */

const { version } = JSON.parse(readFileSync("package.json", "utf8"));
const log = resolve("test/fixtures/logs/memcg-v2-group.kern.log.gz");
const npm = (cwd: string, ...args: string[]) => run("npm", args, { cwd });

let directory: ReturnType<typeof temporaryDirectory>;

beforeAll(() => {
  directory = temporaryDirectory();
});

afterAll(() => directory.remove());

it("the package installs into an empty folder, without another one, and runs", async () => {
  await npm(".", "pack", "--silent", "--pack-destination", directory.path);
  const home = join(directory.path, "empty");
  mkdirSync(home);
  const tarball = readdirSync(directory.path).find((name) => name.endsWith(".tgz"));
  await npm(home, "install", "--silent", "--offline", join(directory.path, tarball as string));
  const packages = readdirSync(join(home, "node_modules"));
  expect(packages.filter((name) => !name.startsWith("."))).toEqual(["oom-exporter"]);
  const output = await run("npx", ["--no-install", "oom-exporter", "--version"], { cwd: home });
  expect(output).toContain(`oom-exporter ${version}`);
});

it("in a fresh clone `npm ci --engine-strict` is enough for `npx oom-exporter explain FILE`", async () => {
  const clone = join(directory.path, "clone");
  await run("git", ["clone", "--quiet", "--no-hardlinks", resolve("."), clone]);
  await npm(clone, "ci", "--engine-strict", "--prefer-offline");
  const output = await run("npx", ["--no-install", "oom-exporter", "explain", log], { cwd: clone });
  expect(output).toContain("greedy (pid 226) was killed");
});

it("`npm ci --omit=dev` builds nothing and does not fail", async () => {
  const clone = join(directory.path, "production");
  await run("git", ["clone", "--quiet", "--no-hardlinks", resolve("."), clone]);
  await npm(clone, "ci", "--omit=dev");
  expect(readdirSync(clone)).not.toContain("dist");
});

it("`npm start` ends its exporter when npm is ended", async () => {
  const flags = ["--web.listen-address=127.0.0.1:0", "--kernel-log.source=none"];
  const child = spawn("npm", ["start", "--silent", "--", ...flags], {
    env: { ...process.env, STATE_DIRECTORY: join(directory.path, "state") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  const url = await eventually("it serves", async () => /http:\/\/[\d.:]+/.exec(text)?.[0]);
  child.kill("SIGTERM");
  await ended;
  await eventually("nothing answers", () =>
    fetch(url).then(
      () => false,
      () => true,
    ),
  );
});
