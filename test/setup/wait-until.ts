import { vi } from "vitest";

/** Resolves once the check no longer throws; rejects with what it threw last after a minute. */
export function waitUntil(check: () => void): Promise<void> {
  return vi.waitFor(check, { timeout: 60_000, interval: 20 });
}
