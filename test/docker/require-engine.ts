import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** Where an engine can be had on a machine that has none; it stands outside this repository. */
const lab = join(resolve(process.env.OOM_EXPORTER_LAB ?? "../shared/lab"), "docker");

/**
 * A Docker engine and the images that the stack is made of; an engine that was started for it is
 * stopped at the end. Ends the run with one line where that is impossible; with CI=true that is a failure.
 */
export default async function requireEngine(): Promise<(() => void) | undefined> {
  const isOurs = !hasEngine();
  const obstacle = isOurs ? startEngine() : undefined;
  if (obstacle !== undefined) {
    console.log(`cannot run: ${obstacle}`);
    process.exit(process.env.CI === "true" ? 1 : 0);
  }
  const missing = images().filter((name) => !succeeds("docker", "image", "inspect", name));
  // Stand-ins made of packages where there is a lab; elsewhere Docker pulls them.
  const standIns = join(lab, "docker-local-images");
  if (missing.length > 0 && existsSync(standIns)) {
    execFileSync(standIns, missing, { stdio: "inherit" });
  }
  return isOurs ? () => stopEngine() : undefined;
}

function startEngine(): string | undefined {
  const start = join(lab, "docker-engine-up");
  if (!existsSync(start)) {
    return `no Docker engine answers, and ${start} is not there (OOM_EXPORTER_LAB names another place)`;
  }
  if (process.getuid?.() !== 0) return "no Docker engine answers, and starting one needs root";
  execFileSync(start, { stdio: "inherit" });
  return hasEngine() ? undefined : "the Docker engine does not start";
}

function stopEngine(): void {
  execFileSync(join(lab, "docker-engine-up"), ["stop"], { stdio: "inherit" });
}

/** What Dockerfile and compose.yaml name, but for Grafana, which no page needs. */
function images(): string[] {
  const dockerfile = readFileSync("docker/Dockerfile", "utf8");
  const compose = readFileSync("docker/compose.yaml", "utf8");
  const base = /^ARG NODE_IMAGE=(\S+)$/m.exec(dockerfile)?.[1] as string;
  return [base, ...[...compose.matchAll(/^\s+image: (prom\/\S+)$/gm)].map(([, name]) => `${name}`)];
}

function hasEngine(): boolean {
  return succeeds("docker", "version") && succeeds("docker", "compose", "version");
}

function succeeds(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
