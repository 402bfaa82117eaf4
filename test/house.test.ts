import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const src = fileURLToPath(new URL("../src", import.meta.url));

const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => {
    const text = readFileSync(join(src, path), "utf8");
    return {
      path,
      code: withoutTextAndComments(text),
      imports: importsOf(path, text),
      /** Those that are still there when the program runs. */
      loads: importsOf(path, text.replace(/^(import|export) type [^"]*"[^"]*"/gm, "")),
    };
  });

/** Text in quotes or comments may name anything. */
function withoutTextAndComments(text: string): string {
  return text
    .replace(/"(?:[^"\\\n]|\\.)*"/g, '""')
    .replace(/\/\*.*?\*\//gs, "")
    .replace(/\/\/.*$/gm, "");
}

/** Packages by name, own modules by their path below src without its ending. */
function importsOf(path: string, text: string): string[] {
  const statements =
    /^(?:import|export)\s(?:[\w$*{},\s]*\sfrom\s)?"([^"]+)";|\bimport\("([^"]+)"\)/gm;
  return [...text.matchAll(statements)].map(([, named, dynamic]) => {
    const target = (named ?? dynamic) as string;
    return target.startsWith(".")
      ? relative(src, join(src, dirname(path), target)).replace(/\.ts$/, "")
      : target;
  });
}

/** For those who put everything together. */
const everything = [""];

/**
 * Which own modules each room may use, by folder or by file; the first row that fits counts. A new room
 * is a new row: every file under src has to have one.
 */
const mayUse: [room: string, allowed: string[]][] = [
  ["kernel/", []],
  ["text/", []],
  ["collections/", []],
  ["kernel-log/", ["text/"]],
  [
    "kills/",
    [
      "kernel-log/",
      "kernel/badness",
      "kernel/cgroup-path",
      "kernel/command-line",
      "text/",
      "collections/",
    ],
  ],
  ["killers/", ["kills/", "kernel-log/", "text/", "collections/"]],
  [
    "sources/",
    [
      "kernel/",
      "kernel-log/local-time",
      "kills/owner",
      "text/escaped-bytes",
      "text/shell",
      "collections/",
    ],
  ],
  ["log-sources/", ["kernel-log/", "sources/", "kills/kill-log", "killers/", "collections/"]],
  ["recorder/", ["kernel/", "kills/", "sources/", "collections/"]],
  ["victims/", ["kernel/", "sources/", "kills/owner"]],
  ["metrics/catalog", []],
  ["metrics/exposition", ["metrics/catalog"]],
  [
    "collectors/",
    [
      "collections/",
      "metrics/",
      "victims/",
      "kills/",
      "killers/",
      "log-sources/",
      "sources/",
      "kernel/",
    ],
  ],
  [
    "status/",
    [
      "victims/",
      "kills/",
      "killers/",
      "metrics/catalog",
      "sources/",
      "kernel/",
      "text/",
      "collections/",
    ],
  ],
  [
    "doctor/",
    [
      "killers/",
      "status/other-killers",
      "log-sources/",
      "kernel-log/",
      "sources/",
      "kernel/",
      "text/",
      "http/listen",
      "http/connections",
    ],
  ],
  [
    "http/",
    ["status/", "kills/", "killers/", "kernel/badness", "text/", "metrics/", "collectors/scrape"],
  ],
  ["web-config/", []],
  ["command-line/", ["text/"]],
  ["commands/", everything],
  ["own-process", ["collectors/collector", "sources/"]],
  ["logger", ["text/"]],
  ["flags", ["command-line/", "metrics/catalog", "http/external-url", "http/listeners"]],
  [
    "kill-watch",
    ["flags", "killers/", "kills/", "log-sources/", "logger", "recorder/", "sources/"],
  ],
  ["exporter", everything],
  ["main", ["commands/", "command-line/", "http/listen", "text/", "web-config/web-config-error"]],
];

function roomOf(path: string): string | undefined {
  return mayUse.find(([room]) =>
    room.endsWith("/") ? path.startsWith(room) : path === `${room}.ts`,
  )?.[0];
}

const onlyUser: Record<string, string> = {
  "prom-client": "metrics/exposition.ts",
  fastify: "http/app.ts",
  tail: "log-sources/log-tail.ts",
  pino: "logger.ts",
  yaml: "web-config/web-config.ts",
  bcryptjs: "web-config/bcrypt-thread.ts",
};

describe("the house", () => {
  it.each(mayUse)("%s uses no other room than %j", (room, allowed) => {
    const inside = files.filter(({ path }) => roomOf(path) === room);
    expect(inside).not.toEqual([]);
    const own = room.endsWith("/") ? [room] : [];
    for (const { path, imports } of inside) {
      const modules = imports.filter((target) =>
        files.some((file) => file.path === `${target}.ts`),
      );
      const wrong = modules.filter(
        (target) => ![...own, ...allowed].some((prefix) => target.startsWith(prefix)),
      );
      expect(wrong, path).toEqual([]);
    }
  });

  it("has a room for every file, and only the wiring at the top", () => {
    expect(files.filter(({ path }) => roomOf(path) === undefined)).toEqual([]);
    const top = files.map(({ path }) => path).filter((path) => !path.includes("/"));
    expect(top.sort()).toEqual([
      "exporter.ts",
      "flags.ts",
      "kill-watch.ts",
      "logger.ts",
      "main.ts",
      "own-process.ts",
    ]);
  });

  it.each(Object.entries(onlyUser))("%s is imported by %s alone", (name, user) => {
    const users = files.filter(({ imports }) => imports.includes(name));
    expect(users.map(({ path }) => path)).toEqual([user]);
  });

  it("depends on no package but these and Node.js", () => {
    const packages = files
      .flatMap(({ imports }) => imports)
      .filter((target) => !target.startsWith("node:"))
      .filter((target) => !files.some((file) => file.path === `${target}.ts`));
    expect([...new Set(packages)].sort()).toEqual(Object.keys(onlyUser).sort());
  });

  it("has pure parsers: kernel, kernel-log and runtime-files use nothing of Node.js", () => {
    const pure = /^(kernel|kernel-log|text|collections)\/|^sources\/runtime-files\.ts$/;
    for (const { path, imports } of files.filter(({ path }) => pure.test(path))) {
      expect(
        imports.filter((target) => target.startsWith("node:")),
        path,
      ).toEqual([]);
    }
  });

  it("is handed the clock and chance outside sources, commands and main", () => {
    // The script that pages carry has the browser's clock.
    const rooms =
      /^(kernel|kernel-log|kills|killers|victims|status|text|collectors|metrics|http(?!\/page-script))\//;
    for (const { path, code } of files.filter((file) => rooms.test(file.path))) {
      expect(
        code.match(/\bDate\.now|new Date\(\)|\bperformance\.now|Math\.random/g),
        path,
      ).toBeNull();
    }
  });

  it("reads process in main and commands only, but for the environment of other programs", () => {
    const members =
      /(?<![\w.])process\.(argv|cpuUsage|cwd|env|exit\w*|getuid|hrtime|kill|memoryUsage|nextTick|off|on|once|platform|resourceUsage|std\w+|umask|uptime|versions?)\b/;
    for (const { path, code } of files) {
      if (path !== "main.ts" && !path.startsWith("commands/")) {
        // The programs that unpack are looked up in PATH, and get the environment.
        const own =
          path === "log-sources/packed-log.ts" ? code.replaceAll("process.env", "") : code;
        expect(own.match(members)?.[0], path).toBeUndefined();
      }
    }
  });

  it("starts no other program but to unpack and for the journal, and reads files without the thread pool's detour", () => {
    for (const { path, imports, code } of files) {
      // Node.js unpacks no xz or bzip2, and reads no journal.
      if (path !== "log-sources/packed-log.ts" && path !== "log-sources/journal.ts") {
        expect(imports, path).not.toContain("node:child_process");
      }
      expect(imports, path).not.toContain("node:fs/promises");
      expect(code.match(/\bfs\.promises|\bpromises\b.*from ""/), path).toBeNull();
    }
  });

  it("loads no module in a circle", () => {
    const loadsByPath = new Map(files.map(({ path, loads }) => [path, loads]));
    const closed = new Set<string>();
    const visit = (path: string, trail: string[]) => {
      expect(trail, "circle").not.toContain(path);
      if (closed.has(path)) {
        return;
      }
      for (const target of loadsByPath.get(path) ?? []) {
        visit(`${target}.ts`, [...trail, path]);
      }
      closed.add(path);
    };
    for (const { path } of files) {
      visit(path, []);
    }
  });

  it("names files for what they handle", () => {
    const names = files.map(({ path }) => path);
    expect(
      names.filter((path) => /(^|\/)(utils?|helpers?|types|constants|index)\.ts$/.test(path)),
    ).toEqual([]);
    expect(
      names.filter((path) => !/^([a-z]+(-[a-z]+)*\/)?[a-z]+(-[a-z]+)*\.ts$/.test(path)),
    ).toEqual([]);
  });
});
