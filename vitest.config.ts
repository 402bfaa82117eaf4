import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: [],
    testTimeout: 30_000,
    reporters: ["default"],
  },
});
