import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/helm/*.helm.ts"],
    globalSetup: "./test/setup/test-run.ts",
    reporters: ["verbose", "./test/setup/closing-line.ts"],
    testTimeout: 600_000,
    hookTimeout: 1_800_000,
  },
});
