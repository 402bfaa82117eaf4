import { expect, it } from "vitest";
import { expectCountedAsDead } from "./expectations.ts";
import { runInGuest } from "./scenario.ts";

it("a kern.log that goes blind is noticed: the ring is read as well, also after a kill -9, and no kill is missing or counted twice", async () => {
  const guest = await runInGuest(`
    syslog
    exporter e 10137
    mkcg system.slice/job.service 16M
    kills() { for i in $(seq $1); do run --cgroup $dir -- hog --comm "$2-$i"; done; }
    kills 2 seen
    counted 10137 2
    scrape seen 10137
    kill -STOP $rsyslogd
    kills 3 missed
    echo blind $(uptime_now)
    counted 10137 5
    echo noticed $(uptime_now)
    sleep 12
    scrape noticed 10137
    kill_exporter e
    kills 1 down
    exporter e 10137
    counted 10137 6
    scrape restarted 10137
    kill -CONT $rsyslogd
    kills 2 again
    counted 10137 8
    sleep 12
    scrape after 10137
  `);
  const seen = guest.scrape("seen");
  expect(seen.sum("oom_kills_total")).toBe(2);
  expect(
    seen.samples("oom_log_source_up").map(({ labels, value }) => [labels.source, value]),
  ).toEqual([["file", 1]]);

  const noticed = guest.scrape("noticed");
  console.log(
    `noticed after ${(guest.number("noticed") - guest.number("blind")).toFixed(1)} s of guest time`,
  );
  expect(noticed.sum("oom_kills_total")).toBe(5);
  expect(noticed.sum("oom_kills_unaccounted")).toBe(0);
  expect(
    Object.fromEntries(
      noticed.samples("oom_log_source_up").map(({ labels, value }) => [labels.source, value]),
    ),
  ).toEqual({ file: 0, kmsg: 1 });
  const switches = guest.file("e.log").match(/reading \/dev\/kmsg as well/g);
  expect(switches).toHaveLength(1);

  const restarted = guest.scrape("restarted");
  expect(restarted.sum("oom_kills_total")).toBe(6);
  expect(restarted.samples("oom_log_source_up")).toHaveLength(2);

  expectCountedAsDead(guest.scrape("after"), guest.truth);
});
