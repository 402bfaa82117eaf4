import { onTestFailed } from "vitest";
import { randomFrom } from "../../bench/next-victim-scenario.ts";

/**
 * Random numbers in [0, 1) for one test. Where it fails it prints the seed, which TEST_SEED gives back
 * to it.
 */
export function seededRandom(): () => number {
  const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  onTestFailed(() => console.log(`TEST_SEED=${seed}`));
  return randomFrom(seed);
}
