import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../..", import.meta.url)),
    globalSetup: "./test/setup/test-run.ts",
    include: ["test/bare/*.bare.ts"],
    fileParallelism: false,
    testTimeout: 3_600_000,
    hookTimeout: 1_200_000,
    reporters: ["verbose", "./test/setup/closing-line.ts"],
  },
});
