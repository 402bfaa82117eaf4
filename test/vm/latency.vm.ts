import { expect, it } from "vitest";
import { runInGuest } from "./scenario.ts";

const rounds = 10;

it.each([
  ["kmsg", ""],
  ["file", "syslog"],
])("a kill is shown in /metrics soon after it (%s)", async (source, prepare) => {
  const guest = await runInGuest(`
    ${prepare}
    exporter e 10137 --kernel-log.source=${source}
    settle
    mkcg system.slice/job.service 8M
    for round in $(seq ${rounds}); do
      run --bg --cgroup $dir -- hog
      until [ "$(sample 10137 oom_kills_total)" -ge $round ]; do :; done
      echo "shown-$round $(uptime_now)"
      sleep 1
    done
    scrape after 10137
  `);
  const kills = guest.scrape("after").kills.toReversed();
  expect(kills).toHaveLength(rounds);
  const delays = kills.map(({ uptimeSeconds }, round) =>
    Math.round((guest.number(`shown-${round + 1}`) - (uptimeSeconds ?? 0)) * 1000),
  );
  delays.sort((one, other) => one - other);
  console.log(`${source}: from the kill to /metrics in ms, emulated: ${delays.join(" ")}`);
});
