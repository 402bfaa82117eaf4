import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { bootMachine } from "../vm/kit/machine.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** What the guest sees as /share: `new.deb`, `old.deb` and guest.sh. */
    packageShare: string;
  }
}

/**
 * Makes the Debian package and one of an older version, and boots a machine once, which downloads what is missing.
 * Ends the run with one line if that is impossible; with CI=true that is a failure.
 *
 * `OOM_EXPORTER_DEB` names a package that is there already.
 */
export default async function requirePackage(project: TestProject): Promise<() => void> {
  const share = mkdtempSync(join(tmpdir(), "oom-exporter-share-"));
  try {
    const { results } = await bootMachine({ script: "true" });
    rmSync(results, { recursive: true, force: true });
    const deb = join(share, "new.deb");
    if (process.env.OOM_EXPORTER_DEB === undefined) makePackage(deb, share);
    else copyFileSync(process.env.OOM_EXPORTER_DEB, deb);
    makeOlder(deb, share);
    copyFileSync("test/systemd/guest.sh", join(share, "guest.sh"));
  } catch (error) {
    rmSync(share, { recursive: true, force: true });
    console.log(`cannot run: ${(error as Error).message}`);
    process.exit(process.env.CI === "true" ? 1 : 0);
  }
  project.provide("packageShare", share);
  return () => rmSync(share, { recursive: true, force: true });
}

function makePackage(deb: string, share: string): void {
  const build = join(share, "build");
  const options = ["--formats=deb", `--outdir=${build}`];
  execFileSync("npm", ["run", "--silent", "package", "--", ...options], { stdio: "pipe" });
  const made = readdirSync(build).find((name) => name.endsWith(".deb"));
  copyFileSync(join(build, made as string), deb);
  rmSync(build, { recursive: true });
}

/** The same files under version 0.0.1, not compressed: an emulated processor unpacks slowly. */
function makeOlder(deb: string, share: string): void {
  const tree = join(share, "old");
  mkdirSync(tree);
  execFileSync("dpkg-deb", ["-R", deb, tree]);
  const control = join(tree, "DEBIAN/control");
  const text = readFileSync(control, "utf8").replace(/^Version: .*$/m, "Version: 0.0.1");
  writeFileSync(control, text);
  const options = ["--root-owner-group", "-Znone", "--build"];
  execFileSync("dpkg-deb", [...options, tree, join(share, "old.deb")], { stdio: "pipe" });
  rmSync(tree, { recursive: true });
}
