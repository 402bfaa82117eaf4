import { expect, it } from "vitest";
import { NewProcesses } from "../../src/sources/new-processes.ts";

it("new processes are looked for one hundredth of the time at most", () => {
  let nowMs = 0;
  let looks = 0;
  const table = {
    readYoung: () => {
      looks++;
      nowMs += 8;
    },
  };
  const newProcesses = new NewProcesses({ table, now: () => nowMs });
  newProcesses.look();
  nowMs += 799;
  newProcesses.look();
  expect(looks).toBe(1);
  nowMs += 1;
  newProcesses.look();
  expect(looks).toBe(2);
});
