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

const limits = { testTimeout: 60_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    reporters: ["default", "./test/setup/closing-line.ts"],
    projects: [
      {
        test: { ...limits, name: "unit", include: ["test/**/*.test.ts"], exclude: withProcesses },
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
