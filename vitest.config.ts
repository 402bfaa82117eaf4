import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** Tests that start real processes or real kills: one file after the other, when all else is done. */
const withProcesses = [
  "test/real-kernel/**/*.test.ts",
  "test/restart/**/*.test.ts",
  "test/rotation/**/*.test.ts",
  "test/end-to-end/**/*.test.ts",
  "test/browser/**/*.test.ts",
  "test/grafana/queries.test.ts",
];

/** They end what hangs; nothing that is tested is demanded to be fast. */
const limits = { testTimeout: 180_000, hookTimeout: 300_000 };

export default defineConfig({
  test: {
    globalSetup: "./test/setup/test-run.ts",
    // Beside a run that nobody watches only what failed is worth a line.
    reporters: [process.stdout.isTTY ? "default" : "minimal", "./test/setup/closing-line.ts"],
    projects: [
      {
        test: {
          ...limits,
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: withProcesses,
          maxConcurrency: availableParallelism(),
        },
      },
      {
        test: {
          ...limits,
          name: "processes",
          include: withProcesses,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
