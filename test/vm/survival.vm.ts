import { expect, it } from "vitest";
import { expectCountedAsDead } from "./expectations.ts";
import { answersOf } from "./probes.ts";
import { guestWork, processorFactor } from "./processor-factor.ts";
import { type Guest, runInGuest } from "./scenario.ts";

/** Ways to fill a host, each until the kernel kills. */
const floods = {
  many: () => "storm --n 16 --mb 60 --live-ms 0 500 --comm many",
  one: () => "storm --n 1 --step-kb 1024 --comm one",
  fork: () => "storm --n 100 --mb 8 --live-ms 0 300 --comm fork",
  // No kill frees what a tmpfs holds: it stays full while others come.
  tmpfs: (memoryMb: number) => `
    mkdir -p /run/full
    mount -t tmpfs -o size=${Math.round(memoryMb * 0.45)}M full /run/full
    busybox dd if=/dev/zero of=/run/full/file bs=1M 2>/dev/null
    for round in 1 2 3; do storm --n 6 --mb 40 --live-ms 0 200 --comm tmpfs; done
    umount /run/full`,
};

type Flood = keyof typeof floods;

/** Asks each second while the host is filled, and goes on for some seconds. */
function filled(flood: Flood, memoryMb: number): string {
  return `
    probe --port 10137 --pid $me --out /results/${flood}.probe & probe=$!
    sleep 5
    echo ${flood}-began $(uptime_now)
    ${floods[flood](memoryMb)}
    counted 10137 $(dead)
    sleep 5
    kill -TERM $probe
    wait $probe
    echo ${flood}-last $(stamps_of_kills | tail -n 1)
    echo ${flood}-dead $(dead)
    kill -0 $me || { echo "the exporter was killed by ${flood}" >&2; exit 1; }
  `;
}

function report(guest: Guest, flood: Flood) {
  const answers = answersOf(guest.file(`${flood}.probe`));
  const began = guest.number(`${flood}-began`);
  const last = guest.number(`${flood}-last`);
  const during = answers.filter(({ atSeconds }) => atSeconds >= began && atSeconds <= last);
  const [next] = answers.filter(({ atSeconds }) => atSeconds > last);
  const faults = answers.map(({ majorFaults }) => majorFaults);
  return {
    dead: guest.number(`${flood}-dead`),
    stormSeconds: Number((last - began).toFixed(1)),
    scrapes: during.length,
    failed: during.filter(({ status }) => status !== 200).length,
    longestMs: Math.max(0, ...during.map(({ ms }) => Math.round(ms))),
    nextMs: Math.round(next?.ms ?? Number.POSITIVE_INFINITY),
    nextStatus: next?.status,
    majorFaults: Math.max(...faults) - Math.min(...faults),
    swappedKb: Math.max(...answers.map(({ swappedKb }) => swappedKb)),
  };
}

const all = Object.keys(floods) as Flood[];

it.each([
  ["unit", 512, 0, all],
  ["unit", 512, 256, all],
  ["unit", 256, 0, all],
  ["unit", 256, 128, all],
  ["container", 256, 0, all],
  ["pod", 256, 0, all],
  ["plain", 256, 0, all],
] as const)(
  "placed as a %s on a host of %i MB with %i MB of swap it lives, counts all, and answers the next scrape",
  async (how, memoryMb, swapMb, kinds) => {
    const guest = await runInGuest(
      `
        ${guestWork}
        exporter_as ${how} e 10137 --kernel-log.source=kmsg
        settle
        me=$(cat /run/e.pid)
        echo score-adj $(cat /proc/$me/oom_score_adj)
        ${kinds.map((flood) => filled(flood, memoryMb)).join("\n")}
        sleep 8
        scrape after 10137
      `,
      // Kill lines of several storms stay in the ring.
      { memoryMb, swapMb, kernelArguments: "log_buf_len=4M" },
    );
    const factor = await processorFactor(Number.parseFloat(guest.said("work")));
    const after = guest.scrape("after");
    console.log(
      `${how}, ${memoryMb} MB, swap ${swapMb} MB, processor ${factor.toFixed(1)} times slower, ` +
        `oom_score_adj ${guest.said("score-adj")}: dead ${guest.truth.dead.length}, ` +
        `counted ${after.sum("oom_kills_total")}, kernel ${after.kernelKills}`,
    );
    for (const flood of kinds) console.log(`  ${flood}: ${JSON.stringify(report(guest, flood))}`);
    expect(guest.truth.dead.length).toBeGreaterThan(kinds.length);
    expect(after.kernelKills).toBe(guest.truth.dead.length);
    expectCountedAsDead(after, guest.truth);
    expect(guest.number("score-adj")).toBeLessThanOrEqual(-900);
    for (const flood of kinds) {
      const { nextMs, nextStatus } = report(guest, flood);
      expect(nextStatus, flood).toBe(200);
      expect(nextMs, `${flood}: the scrape after the last kill`).toBeLessThan(2000 * factor);
    }
  },
);

it("keeps its memory where its slice protects it, and not where the unit alone does", async () => {
  const faults = async (how: string) => {
    const guest = await runInGuest(
      `
        exporter_as ${how} e 10137 --kernel-log.source=kmsg
        settle
        me=$(cat /run/e.pid)
        ${filled("many", 512)}
      `,
      { memoryMb: 512, swapMb: 256 },
    );
    const { majorFaults, swappedKb, longestMs } = report(guest, "many");
    console.log(
      `${how}: ${majorFaults} major faults, ${swappedKb} kB swapped out, longest scrape ${longestMs} ms`,
    );
    return majorFaults;
  };
  const [slice, container, unitAlone] = [
    await faults("unit"),
    await faults("container"),
    await faults("system-slice"),
  ];
  expect(slice).toBeLessThan(unitAlone / 4);
  expect(container).toBeLessThan(unitAlone / 4);
});
