import type { describe, it } from "vitest";

/**
 * Vitest's `describe` or `it` for tests that need something this machine may not have: where an
 * obstacle is known they are skipped, with it in their names.
 * Example: `needs(describe, promtool.obstacle)("promtool", () => ...)`.
 */
export function needs<Runner extends typeof describe | typeof it>(
  runner: Runner,
  obstacle: string | undefined,
): Runner {
  if (obstacle === undefined) return runner;
  type Skipping = ((name: string, ...rest: unknown[]) => void) & {
    each(cases: unknown): (name: string, ...rest: unknown[]) => void;
  };
  const skipping = runner.skipIf(true) as unknown as Skipping;
  const named = (name: string) => `${name} (${obstacle})`;
  const skip = (name: string, ...rest: unknown[]) => skipping(named(name), ...rest);
  const each =
    (cases: unknown) =>
    (name: string, ...rest: unknown[]) =>
      skipping.each(cases)(named(name).replaceAll("%", "%%"), ...rest);
  return Object.assign(skip, { each }) as unknown as Runner;
}
