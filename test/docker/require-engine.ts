import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { cacheDirectory } from "../kit/cache.ts";
import { takeLock } from "../setup/file-lock.ts";
import { type Engine, startEngine } from "./kit/engine.ts";
import { makeStandIn } from "./kit/stand-in-images.ts";

/**
 * A Docker engine and the images that the stack is made of; an engine that was started for it is stopped at the
 * end. Ends the run with one line where that is impossible; with CI=true that is a failure.
 */
export default async function requireEngine(): Promise<() => Promise<void>> {
  let engine: Engine | undefined;
  let unlock = async () => {};
  try {
    await mkdir(cacheDirectory, { recursive: true });
    // The stack's ports are this machine's: a second run waits.
    unlock = await takeLock(join(cacheDirectory, "docker.lock"));
    if (!hasEngine()) {
      if (process.getuid?.() !== 0) {
        throw new Error("no Docker engine with Compose answers, and starting one needs root");
      }
      engine = await startEngine();
      Object.assign(process.env, engine.env);
    }
    for (const name of images()) await makeAvailable(name);
  } catch (error) {
    await engine?.stop();
    await unlock();
    console.log(`cannot run: ${(error as Error).message}`);
    process.exit(process.env.CI === "true" ? 1 : 0);
  }
  return async () => {
    await engine?.stop();
    await unlock();
  };
}

async function makeAvailable(name: string): Promise<void> {
  if (succeeds("docker", "image", "inspect", name)) return;
  if (succeeds("timeout", "120", "docker", "pull", "--quiet", name)) return;
  console.log(`${name} cannot be pulled: a stand-in is made of packages`);
  await makeStandIn(name);
}

/** What Dockerfile and compose.yaml name, but for Grafana, which no page needs. */
function images(): string[] {
  const dockerfile = readFileSync("docker/Dockerfile", "utf8");
  const compose = readFileSync("docker/compose.yaml", "utf8");
  const bases = [...dockerfile.matchAll(/^ARG \w+_IMAGE=(\S+)$/gm)].map(([, name]) => `${name}`);
  return [
    ...bases,
    ...[...compose.matchAll(/^\s+image: (prom\/\S+)$/gm)].map(([, name]) => `${name}`),
  ];
}

function hasEngine(): boolean {
  return (
    succeeds("docker", "version") &&
    succeeds("docker", "compose", "version") &&
    succeeds("docker", "buildx", "version")
  );
}

function succeeds(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
