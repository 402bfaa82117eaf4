import { describe, expect, it } from "vitest";
import { expectCountedAsDead } from "./expectations.ts";
import { answersOf } from "./probes.ts";
import { guestWork, processorFactor } from "./processor-factor.ts";
import { type Guest, runInGuest } from "./scenario.ts";

/** Ways to fill a host, each until the kernel kills. */
const floods = {
  many: () => "storm --n 16 --mb 60 --live-ms 0 500 --comm many",
  one: () => "storm --n 1 --step-kb 1024 --comm one",
  fork: () => "storm --n 100 --mb 8 --live-ms 0 300 --comm fork",
  // No kill frees what a tmpfs holds: it stays full while others come. A share of what the kernel leaves, so that the
  // exporter has room: otherwise it is the only process that can be killed.
  tmpfs: (memoryMb: number, swapMb: number) => `
    mkdir -p /run/full
    mount -t tmpfs -o size=$(awk '$1 == "MemTotal:" { print int($2 * 0.45) }' /proc/meminfo)k full /run/full
    busybox dd if=/dev/zero of=/run/full/file bs=1M 2>/dev/null
    for round in 1 2 3; do storm --n ${2 + Math.ceil((memoryMb * 0.55 + swapMb) / 40)} --mb 40 --live-ms 0 200 --comm tmpfs; done
    umount /run/full`,
};

type Flood = keyof typeof floods;

/** Scrapes every second while the host is being filled, and for some seconds after. */
function filled(how: string, flood: Flood, memoryMb: number, swapMb: number): string {
  return `
    exporter_as ${how} e 10137 --kernel-log.source=kmsg
    settle
    me=$(cat /run/e.pid)
    echo score-adj $(cat /proc/$me/oom_score_adj)
    probe --port 10137 --pid $me & probe=$!
    sleep 4
    echo began $(uptime_now)
    ${floods[flood](memoryMb, swapMb)}
    kill -0 $me || { echo "the exporter was killed" >&2; dmesg | grep "Killed process" | tail -n 3 >&2; exit 1; }
    counted 10137 $(dead)
    sleep 4
    kill -TERM $probe
    wait $probe
    echo last $(stamps_of_kills | tail -n 1)
  `;
}

function report(guest: Guest) {
  const answers = answersOf(guest.file("probe.txt"));
  const [began, last] = [guest.number("began"), guest.number("last")];
  const during = answers.filter(({ atSeconds }) => atSeconds >= began && atSeconds <= last);
  const next = answers.find(({ atSeconds }) => atSeconds > last);
  const faults = answers.map(({ majorFaults }) => majorFaults);
  return {
    dead: guest.truth.dead.length,
    stormSeconds: Math.round(last - began),
    scrapes: during.length,
    unanswered: during.filter(({ status }) => status !== 200).length,
    longestMs: Math.max(0, ...during.map(({ ms }) => Math.round(ms))),
    nextStatus: next?.status,
    nextMs: Math.round(next?.ms ?? Number.POSITIVE_INFINITY),
    majorFaults: Math.max(...faults) - Math.min(...faults),
    swappedKb: Math.max(...answers.map(({ swappedKb }) => swappedKb)),
  };
}

const hosts = [
  [512, 0],
  [512, 256],
  [256, 0],
  [256, 128],
] as const;
const everyFlood = Object.keys(floods) as Flood[];

describe.each([
  ["unit", hosts, everyFlood],
  ["container", hosts.slice(1, 3), ["many", "fork"]],
  ["pod", hosts.slice(1, 3), ["many", "fork"]],
  ["plain", hosts.slice(1, 3), ["many", "fork"]],
] as const)("placed as %s", (how, sizes, kinds) => {
  describe.each(sizes)("on a host of %i MB with %i MB of swap", (memoryMb, swapMb) => {
    it.each(kinds)(
      "it lives through %s, counts every kill and answers the next scrape",
      async (flood) => {
        const guest = await runInGuest(
          `
          ${guestWork}
          ${filled(how, flood, memoryMb, swapMb)}
          sleep 8
          scrape after 10137
        `,
          // The ring keeps the reports of a hundred kills.
          { memoryMb, swapMb, kernelArguments: "log_buf_len=4M" },
        );
        const factor = await processorFactor(Number.parseFloat(guest.said("work")));
        const after = guest.scrape("after");
        const found = report(guest);
        console.log(
          `${how}, ${memoryMb} MB, swap ${swapMb} MB, ${flood}, processor ${factor.toFixed(0)} times slower: ` +
            `counted ${after.sum("oom_kills_total")}, kernel ${after.kernelKills}, ${JSON.stringify(found)}`,
        );
        expect(found.dead).toBeGreaterThan(0);
        expect(after.kernelKills).toBe(found.dead);
        expectCountedAsDead(after, guest.truth);
        expect(guest.number("score-adj")).toBeLessThanOrEqual(-900);
        expect(found.nextStatus).toBe(200);
        expect(found.nextMs, "the scrape begun after the last kill").toBeLessThan(2000 * factor);
      },
    );
  });
});

it("keeps its memory if its slice protects it, and not if only the unit does", async () => {
  const faults = async (how: string) => {
    const guest = await runInGuest(filled(how, "many", 512, 256), { memoryMb: 512, swapMb: 256 });
    const found = report(guest);
    console.log(`${how}: ${JSON.stringify(found)}`);
    return found.majorFaults;
  };
  const inSlice = await faults("unit");
  const inProtectedParent = await faults("container");
  const alone = await faults("system-slice");
  expect(inSlice).toBeLessThan(alone / 4);
  expect(inProtectedParent).toBeLessThan(alone / 4);
});
