import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { debianPrograms } from "../kit/debian-programs.ts";
import { run } from "../kit/run.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** What `npm run package` made. */
    artefacts: string;
  }
}

/**
 * Makes all packages once. Ends the run with one line if that is impossible; with CI=true that is a failure.
 * `OOM_EXPORTER_BUILD` names a directory in which they are already.
 */
export default async function makePackages(project: TestProject): Promise<() => void> {
  const given = process.env.OOM_EXPORTER_BUILD;
  const directory = given ?? mkdtempSync(join(tmpdir(), "oom-exporter-build-"));
  const remove = () => {
    if (given === undefined) rmSync(directory, { recursive: true, force: true });
  };
  try {
    const { root, env } = await debianPrograms(["rpm"]);
    const settings = { ...env, RPM_CONFIGDIR: join(root, "usr/lib/rpm") };
    if (given === undefined || readdirSync(given).length === 0) {
      const words = ["run", "--silent", "package", "--", `--outdir=${directory}`];
      await run("npm", words, { env: settings });
    }
  } catch (error) {
    remove();
    console.log(`cannot run: ${(error as Error).message}`);
    process.exit(process.env.CI === "true" ? 1 : 0);
  }
  project.provide("artefacts", directory);
  return remove;
}
