import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { onTestFinished } from "vitest";
import { type Scrape, scrapeOf } from "./scrape.ts";
import { type Truth, truthOf } from "./truth.ts";

/** The lab's directory; it stands outside this repository. */
export const lab = resolve(process.env.OOM_EXPORTER_LAB ?? "../shared/lab");
/** A kernel series that the lab has: 5.10, 6.1, ... */
const kernel = process.env.OOM_EXPORTER_LAB_KERNEL ?? "6.1";

/** What the guest sees as /share: the exporter as it would be installed, and guest.sh. */
export const guestShare = resolve("node_modules/.cache/vm-guest");

export interface Machine {
  memoryMb?: number;
  swapMb?: number;
  /** Words for the kernel's command line. */
  kernelArguments?: string;
}

/** What a scenario left behind. */
export interface Guest {
  truth: Truth;
  /** What `scrape NAME PORT` saw. */
  scrape(name: string): Scrape;
  /** A file under the guest's /results. */
  file(name: string): string;
  /** The number in the line `NAME NUMBER` that the script printed. */
  number(name: string): number;
}

/**
 * Boots a machine, runs a scenario in it (bash, with guest.sh) and brings back what it found.
 * @throws {Error} where the script fails or the machine does not come up, with what it printed
 */
export async function runInGuest(script: string, machine: Machine = {}): Promise<Guest> {
  const results = mkdtempSync(join(tmpdir(), "oom-exporter-vm-"));
  onTestFinished(() => rmSync(results, { recursive: true, force: true }));
  const { status, stdout, stderr } = await boot(`. /share/guest.sh\n${script}`, {
    ...machine,
    share: guestShare,
    results,
  });
  if (status !== 0) throw new Error(`the guest ended with ${status}:\n${stdout}${stderr}`);
  const file = (name: string) => readFileSync(join(results, name), "utf8");
  return {
    truth: truthOf(file("truth.txt")),
    file,
    scrape: (name) =>
      scrapeOf({
        metrics: file(`${name}.metrics`),
        kills: file(`${name}.kills.json`),
        vmstat: file(`${name}.vmstat`),
      }),
    number(name) {
      const line = stdout.split("\n").find((candidate) => candidate.startsWith(`${name} `));
      if (line === undefined) throw new Error(`the guest printed no "${name}":\n${stdout}`);
      return Number(line.slice(name.length));
    },
  };
}

function boot(
  script: string,
  {
    memoryMb = 768,
    swapMb = 0,
    kernelArguments,
    share,
    results,
  }: Machine & { share?: string; results?: string },
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const args = ["--kernel", kernel, "--mem", `${memoryMb}`, "--timeout", "540"];
  if (swapMb > 0) args.push("--swap", `${swapMb}`);
  if (kernelArguments !== undefined) args.push("--append", kernelArguments);
  if (share !== undefined) args.push("--share", share);
  if (results !== undefined) args.push("--results", results);
  return new Promise((settle, reject) => {
    const child = spawn(join(lab, "lab-boot"), [...args, "--", script]);
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8").on("data", (text: string) => {
        output[name] += text;
      });
    }
    child.once("error", reject);
    child.once("close", (status) => settle({ status, ...output }));
  });
}

/** Why no machine can be booted here, in one line; `undefined` where one can. */
export async function labObstacle(): Promise<string | undefined> {
  if (!existsSync(join(lab, "lab-boot"))) {
    return `no kernel lab at ${lab}; OOM_EXPORTER_LAB names its directory`;
  }
  try {
    const { status, stderr } = await boot("true", {});
    return status === 0
      ? undefined
      : stderr.trim().split("\n").at(-1) || `lab-boot ended with ${status}`;
  } catch (error) {
    return `${join(lab, "lab-boot")}: ${(error as Error).message}`;
  }
}
