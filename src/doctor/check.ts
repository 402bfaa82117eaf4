/** One thing that the exporter needs, or that decides how the kernel kills, as found on this machine. */
export interface Check {
  name: string;
  /** `partial`: it works, and something is lost; `missing`: it does not. */
  state: "ok" | "partial" | "missing";
  found: string;
  /** What is lost; `null` where nothing is. */
  impact: string | null;
  /** The command that fixes it. */
  fix: string | null;
}

/** Body of `doctor --json`. */
export interface ChecksAnswer {
  checks: {
    name: string;
    state: Check["state"];
    found: string;
    costs: string | null;
    fix: string | null;
  }[];
}

export function checksAnswer(checks: readonly Check[]): ChecksAnswer {
  return {
    checks: checks.map(({ name, state, found, impact, fix }) => ({
      name,
      state,
      found,
      costs: impact,
      fix,
    })),
  };
}

/** Where the exporter runs, which decides how something is permitted to it. */
export type Place = "host" | "container" | "pod";

export function ok(name: string, found: string): Check {
  return { name, state: "ok", found, impact: null, fix: null };
}
