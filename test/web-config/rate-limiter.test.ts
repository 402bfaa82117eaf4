import { expect, it } from "vitest";
import { RateLimiter } from "../../src/web-config/rate-limiter.ts";

it("allows a burst at once and then one request each interval", () => {
  const limiter = new RateLimiter({ intervalMs: 1000, burst: 3 }, 0);
  const at = (nowMs: number) => limiter.allow(nowMs);
  expect([at(0), at(0), at(0), at(0)]).toEqual([true, true, true, false]);
  expect([at(999), at(1000), at(1001)]).toEqual([false, true, false]);
  // After any pause, at most the burst has accumulated.
  expect([at(60_000), at(60_000), at(60_000), at(60_000)]).toEqual([true, true, true, false]);
});
