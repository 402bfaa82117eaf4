import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../..", import.meta.url)),
    include: ["test/vm/*.vm.ts"],
    globalSetup: "./test/vm/require-machine.ts",
    // An emulated machine takes a processor for itself.
    fileParallelism: false,
    testTimeout: 1_400_000,
    hookTimeout: 600_000,
    reporters: ["verbose", "./test/setup/closing-line.ts"],
  },
});
