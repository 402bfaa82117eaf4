import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

const page = readFileSync("docs/security.md", "utf8");
const table = page.split("\n\n").find((block) => block.startsWith("| fault |")) ?? "";
const rows = table.split("\n").slice(2);

/** `file: name` of each test in the table of docs/security.md. */
const tests = rows.flatMap((row) => {
  const cell = row.split(" | ")[2]?.replace(/ \|$/, "") ?? "";
  return cell.split("<br>").flatMap((entry) => {
    const [, file, name] = /^`(test\/[^`]+\.ts)`: (.+)$/.exec(entry) ?? [];
    return file === undefined || name === undefined ? [] : [[file, name] as [string, string]];
  });
});

it("has a test for each fault", () => {
  expect(rows.length).toBeGreaterThan(20);
  for (const row of rows) expect(row).toContain("`test/");
  expect(tests.length).toBeGreaterThan(40);
});

it.each(tests)("%s has: %s", (file, name) => {
  expect(existsSync(file)).toBe(true);
  expect(readFileSync(file, "utf8")).toContain(`"${name}"`);
});
