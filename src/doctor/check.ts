/** One requirement of the exporter, or one setting that affects kills, as found on this machine. */
export interface Check {
  name: string;
  /** `partial`: it works with a loss; `missing`: it does not work. */
  state: "ok" | "partial" | "missing";
  found: string;
  /** What is lost; `null` if nothing is. */
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

/** Where the exporter runs, which decides how to grant it permissions. */
export type Place = "host" | "container" | "pod";

export function ok(name: string, found: string): Check {
  return { name, state: "ok", found, impact: null, fix: null };
}
