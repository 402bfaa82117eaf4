import { expect, it } from "vitest";
import { finished, Pace, type Steps } from "../../src/collections/steps.ts";

/** Takes `ms` for each of ten steps, on a simulated clock. */
function workOn(ms: number) {
  const clock = { nowMs: 0 };
  const rests: number[] = [];
  const steps = function* (): Steps<string> {
    for (let step = 0; step < 10; step++) {
      clock.nowMs += ms;
      yield;
    }
    return "done";
  };
  const pace = new Pace({
    now: () => clock.nowMs,
    rest: async () => {
      rests.push(clock.nowMs);
      clock.nowMs += 1000;
    },
  });
  return { steps, pace, rests };
}

it("work in steps can be done at once", () => {
  expect(finished(workOn(5).steps())).toBe("done");
});

it("work in steps pauses after each 20 ms, and reports for how long", async () => {
  const { steps, pace, rests } = workOn(8);
  expect(await pace.finished(steps())).toBe("done");
  expect(rests).toEqual([24, 1048, 2072]);
  expect(pace.restedMs).toBe(3000);
});

it("work that is done sooner does not rest", async () => {
  const { steps, pace, rests } = workOn(1);
  await pace.finished(steps());
  expect(rests).toEqual([]);
});
