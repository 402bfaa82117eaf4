import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { thresholds } from "../../src/status/thresholds.ts";

interface Rules {
  groups: { name: string; rules: { record: string; expr: string }[] }[];
}

/** The value of `vector(4 * 3600)`. */
function valueIn(expr: string): number {
  const factors = /^vector\(([\d.* ]+)\)$/.exec(expr)?.[1]?.split("*");
  return factors?.map(Number).reduce((product, factor) => product * factor, 1) ?? Number.NaN;
}

it("the page uses the thresholds of the shipped rules", () => {
  const { groups } = parse(readFileSync("prometheus-rules/recording.yml", "utf8")) as Rules;
  const rules = groups.find(({ name }) => name === "oom-thresholds")?.rules ?? [];
  const shipped = new Map(rules.map(({ record, expr }) => [record, valueIn(expr)]));
  for (const [name, value] of Object.entries(thresholds)) {
    expect(shipped.get(`threshold:${name}`), name).toBe(value);
  }
});
