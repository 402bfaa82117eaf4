import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** They make real kills: one file after the other, beside all that makes none. */
const withRealKills = [
  "test/end-to-end/paging.test.ts",
  "test/real-kernel/**/*.test.ts",
  "test/browser/exporter.test.ts",
];

/** Tests that start servers, browsers and writers of their own. */
const withProcesses = [
  "test/restart/**/*.test.ts",
  "test/rotation/**/*.test.ts",
  "test/end-to-end/**/*.test.ts",
  "test/browser/status-page.test.ts",
  "test/grafana/queries.test.ts",
];

/**
 * Tests that replace functions of Node's modules. Each needs a process of its own: in one that another file has used,
 * what is tested may already hold the real functions.
 */
const withMocks = readdirSync("test", { recursive: true, encoding: "utf8" })
  .map((path) => `test/${path}`)
  .filter((path) => path.endsWith(".test.ts") && /^vi\.mock\(/m.test(readFileSync(path, "utf8")));

/** They end what hangs; nothing that is tested is demanded to be fast. */
const limits = {
  testTimeout: 600_000,
  hookTimeout: 600_000,
  expect: { poll: { timeout: 60_000 } },
};

/**
 * The files that take longest begin first, so that no core waits for the last one. Those with real
 * kills wait for each other: they are spread over the rest, so that no two workers wait.
 */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification) => /paging|promtool/.test(moduleId);
    const longest = sorted.filter(isLong);
    const of = (name: string) =>
      sorted.filter((file) => file.project.name === name && !isLong(file));
    return [...longest, ...of("processes"), ...of("mocks"), ...spread(of("kills"), of("unit"))];
  }
}

/** The few among the many, at equal distances. */
function spread<Item>(few: readonly Item[], many: readonly Item[]): Item[] {
  const step = Math.ceil(many.length / (few.length + 1));
  const parts = [...few, undefined].map((one, at) => {
    const part = many.slice(at * step, (at + 1) * step);
    return one === undefined ? part : [...part, one];
  });
  return parts.flat();
}

/** Two more than cores: much of what starts processes waits for them. */
const maxWorkers = availableParallelism() + 2;

export default defineConfig({
  test: {
    globalSetup: ["./test/setup/test-run.ts", "./test/setup/fetch-programs.ts"],
    // Beside a run that nobody watches only what failed is worth a line.
    reporters: [process.stdout.isTTY ? "default" : "minimal", "./test/setup/closing-line.ts"],
    sequence: { sequencer: LongestFirst },
    maxWorkers,
    projects: [
      {
        test: {
          ...limits,
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [...withProcesses, ...withRealKills, ...withMocks],
          // Two thirds of the time went into a new process and its imports for each file.
          isolate: false,
          maxConcurrency: availableParallelism(),
        },
      },
      {
        test: {
          ...limits,
          name: "mocks",
          include: withMocks,
        },
      },
      {
        test: {
          ...limits,
          name: "processes",
          include: withProcesses,
          exclude: withRealKills,
        },
      },
      {
        test: {
          ...limits,
          name: "kills",
          include: withRealKills,
          setupFiles: ["./test/setup/real-kills.ts"],
        },
      },
    ],
  },
});
