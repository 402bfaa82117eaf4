import { type Browser, chromium } from "playwright-core";
import { debianTool } from "../setup/debian-tools.ts";

const program = await debianTool(
  "chromium-headless-shell",
  "usr/lib/chromium/chromium-headless-shell",
);

/** Why there is no Chromium here, or `undefined` if there is. */
export const chromiumObstacle = program.obstacle;

/** No call but to the page that is opened; and a container's /dev/shm is small. */
const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A headless Chromium with its own profile, which is removed when it is closed. */
export async function startChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: program.path as string, args: flags, timeout: 120_000 });
}
