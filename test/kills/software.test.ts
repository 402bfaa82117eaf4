import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { unknownOwner } from "../../src/kills/owner.ts";
import { software, softwareOf } from "../../src/kills/software.ts";

const nameOf = (comm: string, owner = {}) => softwareOf(comm, { ...unknownOwner, ...owner })?.name;

describe("a program is known by its command name", () => {
  it.each([
    ["java", "JVM"],
    ["node", "Node.js"],
    ["npm", "Node.js"],
    ["npm run build", "Node.js"],
    ["python3.11", "Python workers"],
    ["gunicorn", "Python workers"],
    ["php-fpm8.2", "PHP-FPM"],
    ["php-fpm", "PHP-FPM"],
    ["mysqld", "MySQL and MariaDB"],
    ["mariadbd", "MySQL and MariaDB"],
    ["postgres", "PostgreSQL"],
    ["redis-server", "Redis"],
    ["chrome-headless", "Browsers"],
    ["Chrome_ChildIOT", "Browsers"],
    ["Web Content", "Browsers"],
    ["prometheus", "Go"],
    ["kube-apiserver", "Go"],
    ["javac", undefined],
    ["nodemon-like", undefined],
    ["tail", undefined],
    ["", undefined],
  ])("%s: %s", (comm, name) => {
    expect(nameOf(comm)).toBe(name);
  });

  it("and by its workload, if many programs share that name", () => {
    expect(nameOf("java", { container: "elasticsearch-data-0" })).toBe("Elasticsearch");
    expect(nameOf("java", { unit: "opensearch.service" })).toBe("Elasticsearch");
    expect(nameOf("elasticsearch[d")).toBe("Elasticsearch");
    expect(nameOf("tail", { unit: "elasticsearch.service" })).toBeUndefined();
  });
});

describe("the advice for a program", () => {
  it.each(software.map((row) => [row.name, row] as const))(
    "%s is one line, and its page names its sources",
    (_name, { advice, page }) => {
      expect(advice).not.toContain("\n");
      const path = new URL(`../../${page}`, import.meta.url);
      expect(existsSync(path), page).toBe(true);
      expect(readFileSync(path, "utf8")).toMatch(/^Sources: \[.+\]\(https:/m);
    },
  );
});
