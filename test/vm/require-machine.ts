import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import type { TestProject } from "vitest/node";
import { run } from "../kit/run.ts";
import { bootMachine } from "./kit/machine.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** What the guest sees as /share: the exporter as it would be installed, and guest.sh. */
    guestShare: string;
  }
}

/**
 * Boots a machine once, which also downloads what is missing. Ends the run with one line where that is
 * impossible; with CI=true that is a failure.
 */
export default async function requireMachine(project: TestProject): Promise<() => void> {
  try {
    const { results } = await bootMachine({ script: "true" });
    rmSync(results, { recursive: true, force: true });
  } catch (error) {
    console.log(`cannot run: ${(error as Error).message}`);
    process.exit(process.env.CI === "true" ? 1 : 0);
  }
  const share = mkdtempSync(join(tmpdir(), "oom-exporter-share-"));
  await fillShare(share);
  project.provide("guestShare", share);
  return () => rmSync(share, { recursive: true, force: true });
}

/** The exporter, and no more: each boot makes a disk image of it. */
async function fillShare(share: string): Promise<void> {
  await run("node", ["scripts/build.mjs", "--outdir", join(share, "dist")]);
  copyFileSync("test/vm/guest.sh", join(share, "guest.sh"));
  await build({
    entryPoints: ["test/vm/notice-printer.ts"],
    outfile: join(share, "notice-printer.mjs"),
    bundle: true,
    platform: "node",
    format: "esm",
  });
  await run("cc", ["-O2", "-static", "-o", join(share, "dense-storm"), "bench/cost/storm.c"]);
}
