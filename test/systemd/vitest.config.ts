import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../..", import.meta.url)),
    include: ["test/systemd/*.systemd.ts"],
    globalSetup: "./test/systemd/require-package.ts",
    fileParallelism: false,
    hookTimeout: 1_200_000,
    reporters: ["verbose", "./test/setup/closing-line.ts"],
  },
});
