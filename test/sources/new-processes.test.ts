import { expect, it } from "vitest";
import { NewProcesses } from "../../src/sources/new-processes.ts";

it("looking for new processes takes at most one hundredth of the time", () => {
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
