import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { inject, onTestFinished } from "vitest";
import { bootMachine, type Machine } from "./kit/machine.ts";
import { type Scrape, scrapeOf } from "./scrape.ts";
import { type Truth, truthOf } from "./truth.ts";

/** What a scenario left behind. */
export interface Guest {
  truth: Truth;
  /** What `scrape NAME PORT` saw. */
  scrape(name: string): Scrape;
  /** A file under the guest's /results. */
  file(name: string): string;
  /** What follows the name in the line `NAME ...` that the script printed. */
  said(name: string): string;
  /** The number in the line `NAME NUMBER` that the script printed. */
  number(name: string): number;
}

/**
 * Boots a machine, runs a scenario in it (bash, with guest.sh) and brings back what it found.
 * @throws {Error} if the script fails or the machine does not boot, with its output
 */
export async function runInGuest(
  script: string,
  machine: Omit<Machine, "script" | "share"> = {},
): Promise<Guest> {
  const { status, stdout, stderr, results } = await bootMachine({
    memoryMb: 768,
    timeoutSeconds: 1300,
    ...machine,
    script: `. /share/guest.sh\n${script}`,
    share: inject("guestShare"),
  });
  onTestFinished(() => rmSync(results, { recursive: true, force: true }));
  if (status !== 0) throw new Error(`the guest ended with ${status}:\n${stdout}${stderr}`);
  const file = (name: string) => readFileSync(join(results, name), "utf8");
  const said = (name: string) => {
    const line = stdout.split("\n").find((candidate) => candidate.startsWith(`${name} `));
    if (line === undefined) throw new Error(`the guest printed no "${name}":\n${stdout}${stderr}`);
    return line.slice(name.length + 1);
  };
  return {
    truth: truthOf(file("truth.txt")),
    file,
    scrape: (name) =>
      scrapeOf({
        metrics: file(`${name}.metrics`),
        kills: file(`${name}.kills.json`),
        vmstat: file(`${name}.vmstat`),
      }),
    said,
    number: (name) => Number(said(name)),
  };
}
