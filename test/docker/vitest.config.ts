import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../..", import.meta.url)),
    include: ["test/docker/*.docker.ts"],
    globalSetup: "./test/docker/require-engine.ts",
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 600_000,
    reporters: ["verbose", "./test/setup/closing-line.ts"],
  },
});
