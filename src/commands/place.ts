import { existsSync } from "node:fs";
import type { Place } from "../doctor/check.ts";

/** Where this process runs, according to the markers of container runtimes. */
export function placeOf(env: Readonly<Record<string, string | undefined>>): Place {
  if (env.KUBERNETES_SERVICE_HOST !== undefined) return "pod";
  const marks = ["/.dockerenv", "/run/.containerenv"];
  return env.container !== undefined || marks.some((path) => existsSync(path))
    ? "container"
    : "host";
}
