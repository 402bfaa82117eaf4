import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { explain } from "../../src/commands/explain.ts";
import type { Kill } from "../../src/kills/kill.ts";

/*
 * Reports that people posted, judged as the person on call would: is the cause right, does the advice
 * fit the platform, is anything said that would lead astray? `onCall` has one entry for each kill.
 */

const reports = fileURLToPath(new URL("../fixtures/reports/", import.meta.url));
const judged = readdirSync(reports)
  .filter((name) => name.endsWith(".json"))
  .map((name) => ({
    name: name.slice(0, -".json".length),
    onCall: JSON.parse(readFileSync(`${reports}${name}`, "utf8")).onCall as Judgement[] | undefined,
  }))
  .flatMap(({ name, onCall }) => (onCall === undefined ? [] : { name, onCall }));

interface Judgement {
  cause?: string;
  basis?: string;
  platform?: string;
  /** Must occur in summary or advice; a command begins after a newline. */
  says?: string[];
  never?: string[];
}

async function killsOf(name: string): Promise<Kill[]> {
  let stdout = "";
  await explain(["--json", `${reports}${name}.log`], {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: () => true },
    stdin: (async function* () {})(),
    clock: () => Date.parse("2026-11-21T00:00:00Z"),
    rootfs: "/no/such/root",
    env: {},
  });
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

describe.each(judged)("report $name, as the person on call reads it", ({ name, onCall }) => {
  it("has the right cause, and advice that fits", async () => {
    const kills = await killsOf(name);
    expect(kills).toHaveLength(onCall.length);
    kills.forEach((kill, index) => {
      const { cause, basis, platform, says = [], never = [] } = onCall[index] ?? {};
      if (cause !== undefined) expect(kill.cause).toBe(cause);
      if (basis !== undefined) expect(kill.causeBasis).toBe(basis);
      if (platform !== undefined) expect(kill.owner.platform).toBe(platform);
      const text = [kill.summary, ...kill.advice].join("\n");
      for (const said of says) expect(text).toContain(said);
      for (const wrong of never) expect(text).not.toContain(wrong);
    });
  });
});
