import type { Reporter, TestCase, TestModule, TestSuite } from "vitest/node";

/**
 * Ends a run with what was skipped, a line for each suite or test, and `N passed, N failed, N skipped`
 * alone on a line, for readers and machines that look at the end of a log only.
 */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const skipped: string[] = [];
    for (const module of modules) {
      if (module.state() === "failed" && module.errors().length > 0) counts.failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state !== "pending") counts[state]++;
      }
      for (const outermost of skippedIn(module)) {
        skipped.push(`skipped: ${module.relativeModuleId}: ${outermost.fullName}`);
      }
    }
    for (const line of skipped) console.log(line);
    console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  }
}

function skippedIn(parent: TestModule | TestSuite): (TestSuite | TestCase)[] {
  return [...parent.children].flatMap((child) => {
    if (child.type === "test") return child.result().state === "skipped" ? [child] : [];
    return isSkipped(child) ? [child] : skippedIn(child);
  });
}

function isSkipped(suite: TestSuite): boolean {
  return [...suite.children.allTests()].every((test) => test.result().state === "skipped");
}
