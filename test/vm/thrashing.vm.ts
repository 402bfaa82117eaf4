import { expect, it } from "vitest";
import { answersOf } from "./probes.ts";
import { runInGuest } from "./scenario.ts";

const everySeconds = [undefined, 10, 1, undefined];

it("a scrape every second costs a thrashing host little", async () => {
  const rounds = everySeconds.map((seconds, round) => {
    const asked = seconds !== undefined;
    const out = `/results/round-${round}.probe`;
    return `
      ${asked ? `probe --port 10137 --pid $(cat /run/e.pid) --every-ms ${seconds}000 --out ${out} & probe=$!` : ""}
      before=$(awk '$1 == "pgmajfault" { print $2 }' /proc/vmstat)
      echo writes-${round} $(thrash --n 2 --mb 220 --seconds 40)
      echo faults-${round} $(($(awk '$1 == "pgmajfault" { print $2 }' /proc/vmstat) - before))
      ${asked ? "kill -TERM $probe; wait $probe" : ""}
    `;
  });
  const guest = await runInGuest(
    `
      exporter_as unit e 10137 --kernel-log.source=kmsg
      settle
      ${rounds.join("\n")}
    `,
    { memoryMb: 512, swapMb: 512 },
  );
  const writes = everySeconds.map((_, round) => guest.number(`writes-${round}`));
  for (const [round, seconds] of everySeconds.entries()) {
    const asked =
      seconds === undefined
        ? "no scrape"
        : `a scrape each ${seconds} s, the longest ${Math.max(
            ...answersOf(guest.file(`round-${round}.probe`)).map(({ ms }) => ms),
          )} ms`;
    console.log(
      `${asked}: ${writes[round]} writes, ${guest.number(`faults-${round}`)} major faults`,
    );
    // It does thrash, or nothing is proven.
    expect(guest.number(`faults-${round}`)).toBeGreaterThan(1000);
  }
  const [first = 0, eachTen = 0, eachSecond = 0, last = 0] = writes;
  const without = Math.min(first, last);
  expect(eachTen).toBeGreaterThan(without / 2);
  expect(eachSecond).toBeGreaterThan(without / 2);
});
