import { expect, it } from "vitest";
import { expectCountedAsDead } from "./expectations.ts";
import { runInGuest } from "./scenario.ts";

it.each([
  ["kmsg", ""],
  ["file", "syslog"],
])(
  "kill -9 of the exporter in the middle of a burst, twice: the total is exact (%s)",
  async (source, prepare) => {
    const guest = await runInGuest(
      `
        ${prepare}
        exporter e 10137 --kernel-log.source=${source}
        mkcg system.slice/burst.service 4M
        for round in 1 2; do
          burst --n 60 --gap-ms 200 --cgroup $dir & burst=$!
          # It waits for the exporter, however slow this machine is, and goes on right before that ends.
          wait_exits $((round * 60 - 50))
          kill -STOP $burst
          counted 10137 $((round * 60 - 50))
          scrape before-$round 10137
          kill -CONT $burst
          kill_exporter e
          count exit | sed "s/^/dead-$round /"
          exporter e 10137 --kernel-log.source=${source}
          wait $burst
        done
        counted 10137 120
        sleep 12
        scrape after 10137
      `,
      // What the ring buffer loses while the exporter starts, which is slow here, cannot be counted.
      { kernelArguments: "log_buf_len=4M" },
    );
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

it("kills that the ring lost while the exporter was away are owned up to, not guessed", async () => {
  const guest = await runInGuest(`
    exporter e 10137 --kernel-log.source=kmsg
    mkcg system.slice/job.service 8M
    kills() { for i in $(seq $1); do run --cgroup $dir -- hog --comm "$2-$i"; done; }
    kills 2 seen
    counted 10137 2
    kill_exporter e
    kills 3 lost
    echo on >/proc/sys/kernel/printk_devkmsg
    filler=$(printf '%0900d' 0)
    for i in $(seq 600); do echo "$filler"; done >/dev/kmsg
    exporter e 10137 --kernel-log.source=kmsg
    kills 2 again
    counted 10137 4
    sleep 12
    scrape after 10137
  `);
  expect(guest.truth.dead).toHaveLength(7);
  const after = guest.scrape("after");
  expect(after.kernelKills).toBe(7);
  expect(after.kills.map(({ comm }) => comm).sort()).toEqual([
    "again-1",
    "again-2",
    "seen-1",
    "seen-2",
  ]);
  expect(after.sum("oom_kills_total")).toBe(4);
  expect(after.sum("oom_kills_unaccounted")).toBe(3);
  expect(after.sum("oom_log_lost_records_total")).toBeGreaterThan(0);
  expect(guest.file("e.log")).toContain("kernel log records lost");
});
