import { describe, expect, it } from "vitest";
import { LoopLag } from "../src/own-process.ts";

describe("the event loop's lag", () => {
  it("is how late the timer fired since the last call", () => {
    const lag = new LoopLag(250);
    for (const atMs of [1000, 1250, 1500, 1810, 2060]) lag.note(atMs);
    expect(lag.take()).toEqual({ p50: 0, p99: 0.06 });
    lag.note(2330);
    expect(lag.take()).toEqual({ p50: 0.02, p99: 0.02 });
  });

  it("is 0 if the timer has not fired", () => {
    expect(new LoopLag(250).take()).toEqual({ p50: 0, p99: 0 });
  });
});
