/** One thing that the exporter needs, or that decides how the kernel kills, as found on this machine. */
export interface Check {
  name: string;
  /** `partial`: it works, and something is lost; `missing`: it does not. */
  state: "ok" | "partial" | "missing";
  found: string;
  /** What is lost; `null` where nothing is. */
  costs: string | null;
  /** The command that mends it. */
  fix: string | null;
}

/** Where the exporter runs, which decides how something is permitted to it. */
export type Place = "host" | "container" | "pod";

export function ok(name: string, found: string): Check {
  return { name, state: "ok", found, costs: null, fix: null };
}
