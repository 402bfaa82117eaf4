import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

/** `file: name` of each test in the table of docs/security.md. */
function testsInTable(): [file: string, name: string][] {
  const page = readFileSync("docs/security.md", "utf8");
  const section =
    page.split("\n## Faults that another user or a client can cause")[1]?.split("\n## ", 1)[0] ??
    "";
  const rows = section.split("\n").filter((line) => /^\| (?:\d+\. |[a-z`])/.test(line));
  return rows.flatMap((row) => {
    const cell = row.split(" | ")[2]?.replace(/ \|$/, "") ?? "";
    return cell.split("<br>").flatMap((entry) => {
      const [, file, name] = /^`(test\/[^`]+\.ts)`: (.+)$/.exec(entry) ?? [];
      return file === undefined || name === undefined ? [] : [[file, name] as [string, string]];
    });
  });
}

const tests = testsInTable();

it("has a test for each of the ten faults", () => {
  const page = readFileSync("docs/security.md", "utf8");
  for (let fault = 1; fault <= 10; fault++) {
    expect(page).toMatch(new RegExp(`^\\| ${fault}\\. .*\`test/`, "m"));
  }
  expect(tests.length).toBeGreaterThan(40);
});

it.each(tests)("%s has: %s", (file, name) => {
  expect(existsSync(file)).toBe(true);
  expect(readFileSync(file, "utf8")).toContain(`"${name}"`);
});
