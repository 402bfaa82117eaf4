import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../..", import.meta.url)),
    include: ["test/packages/*.packages.ts"],
    globalSetup: ["./test/setup/test-run.ts", "./test/packages/make-packages.ts"],
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 600_000,
    reporters: ["verbose", "./test/setup/closing-line.ts"],
  },
});
