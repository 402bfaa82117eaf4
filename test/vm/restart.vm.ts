import { expect, it } from "vitest";
import { expectCountedAsDead } from "./expectations.ts";
import { runInGuest } from "./lab.ts";

it.each([
  ["kmsg", ""],
  ["file", "syslog"],
])(
  "kill -9 of the exporter in the middle of a burst, twice: the total is exact (%s)",
  async (source, prepare) => {
    const guest = await runInGuest(`
    ${prepare}
    exporter e 10137 --kernel-log.source=${source}
    mkcg system.slice/burst.service 4M
    for round in 1 2; do
      burst --n 60 --gap-ms 200 --cgroup $dir & burst=$!
      counted 10137 $((round * 60 - 50))
      scrape before-$round 10137
      kill_exporter e
      count exit | sed "s/^/dead-$round /"
      exporter e 10137 --kernel-log.source=${source}
      wait $burst
    done
    counted 10137 120
    sleep 12
    scrape after 10137
  `);
    expect(guest.truth.dead).toHaveLength(120);
    const counted = (name: string) => guest.scrape(name).sum("oom_kills_total") ?? 0;
    console.log(
      `${source}: counted ${counted("before-1")} and ${counted("before-2")} before the ends, ` +
        `${guest.number("dead-1")} and ${guest.number("dead-2")} were dead by then`,
    );
    // In the middle, or nothing is proven.
    expect(counted("before-1")).toBeGreaterThan(0);
    expect(guest.number("dead-1")).toBeLessThan(60);
    expect(guest.number("dead-2")).toBeLessThan(120);
    expectCountedAsDead(guest.scrape("after"), guest.truth);
  },
);
