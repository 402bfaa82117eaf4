/** What to do: text, then commands or settings to copy, each on a line of its own. */
export interface Fix {
  text?: string;
  commands?: readonly string[];
}

/** One requirement of the exporter, or one setting that affects kills, as found on this machine. */
export interface Check {
  name: string;
  /** `partial`: it works with a loss; `missing`: it does not work. */
  state: "ok" | "partial" | "missing";
  found: string;
  /** What is lost; `null` if nothing is. */
  impact: string | null;
  /** `null` if nothing is wrong. */
  fix: Fix | null;
}

/** Body of `doctor --json`. */
export interface ChecksAnswer {
  checks: {
    name: string;
    state: Check["state"];
    found: string;
    costs: string | null;
    /** The text and the commands, each on a line. */
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
      fix:
        fix && [fix.text, ...(fix.commands ?? [])].filter((line) => line !== undefined).join("\n"),
    })),
  };
}

/** Where the exporter runs, which decides how to grant it permissions. */
export type Place = "host" | "container" | "pod";

export function ok(name: string, found: string): Check {
  return { name, state: "ok", found, impact: null, fix: null };
}

/** Commands that need no explanation. */
export function run(...commands: string[]): Fix {
  return { commands };
}

/** Flags that `docker run` lacks. */
export function dockerFlags(flags: string): Fix {
  return { text: "Add to docker run:", commands: [flags] };
}
