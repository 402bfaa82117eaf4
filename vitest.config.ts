import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Tests that start servers, browsers and writers of their own. */
const withProcesses = [
  "test/restart/**/*.test.ts",
  "test/rotation/**/*.test.ts",
  "test/end-to-end/**/*.test.ts",
  "test/browser/status-page.test.ts",
  "test/grafana/queries.test.ts",
];

/** Tests that compare the exporter with all that happens on this machine: one file after the other. */
const withWholeMachine = ["test/real-kernel/**/*.test.ts", "test/browser/exporter.test.ts"];

/** They end what hangs; nothing that is tested is demanded to be fast. */
const limits = { testTimeout: 600_000, hookTimeout: 600_000 };

/** The files that take longest begin first, so that no core waits for the last one. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification) => /promtool|paging/.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    globalSetup: ["./test/setup/test-run.ts", "./test/setup/fetch-programs.ts"],
    // Beside a run that nobody watches only what failed is worth a line.
    reporters: [process.stdout.isTTY ? "default" : "minimal", "./test/setup/closing-line.ts"],
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          ...limits,
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [...withProcesses, ...withWholeMachine],
          // Two thirds of the time went into a new process and its imports for each file.
          isolate: false,
          maxConcurrency: availableParallelism(),
        },
      },
      {
        test: {
          ...limits,
          name: "processes",
          include: withProcesses,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...limits,
          name: "machine",
          include: withWholeMachine,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
