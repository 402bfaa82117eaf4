import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { compiledSource } from "../setup/compiled-source.ts";
import { guestShare, labObstacle } from "./lab.ts";

/** Ends the run with one line where there is no lab; with CI=true that is a failure. */
export default async function requireLab(): Promise<void> {
  const obstacle = await labObstacle();
  if (obstacle === undefined) return fillShare();
  console.log(`cannot run: ${obstacle}`);
  process.exit(process.env.CI === "true" ? 1 : 0);
}

/** The exporter with what it depends on, and no more: each boot makes a disk image of it. */
async function fillShare(): Promise<void> {
  rmSync(guestShare, { recursive: true, force: true });
  mkdirSync(guestShare, { recursive: true });
  cpSync(await compiledSource("vm"), join(guestShare, "dist"), { recursive: true });
  copyFileSync("package.json", join(guestShare, "package.json"));
  copyFileSync("test/vm/guest.sh", join(guestShare, "guest.sh"));
  const packages = execFileSync("npm", ["ls", "--omit=dev", "--all", "--parseable"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  for (const directory of packages.trim().split("\n").slice(1)) {
    cpSync(directory, join(guestShare, relative(process.cwd(), directory)), { recursive: true });
  }
}
