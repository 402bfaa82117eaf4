import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { guestShare, labObstacle } from "./lab.ts";

/** Ends the run with one line where there is no lab; with CI=true that is a failure. */
export default async function requireLab(): Promise<void> {
  const obstacle = await labObstacle();
  if (obstacle === undefined) return fillShare();
  console.log(`cannot run: ${obstacle}`);
  process.exit(process.env.CI === "true" ? 1 : 0);
}

/** The exporter, and no more: each boot makes a disk image of it. */
function fillShare(): void {
  execFileSync("node", ["scripts/build.mjs"]);
  rmSync(guestShare, { recursive: true, force: true });
  cpSync("dist", join(guestShare, "dist"), { recursive: true });
  copyFileSync("test/vm/guest.sh", join(guestShare, "guest.sh"));
}
