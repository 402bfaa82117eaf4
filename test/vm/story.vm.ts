import { expect, it } from "vitest";
import { runInGuest } from "./scenario.ts";

const trials = 3;

/** Of so many megabytes each: a database that has long been there, and what its neighbour grows by. */
const victimMb = 140;
const pieceMb = 12;

it(`the host runs out, the neighbour that grew is named, ${trials} of ${trials}`, async () => {
  const guest = await runInGuest(
    `
      mkcg oomexporter.slice/e.service; PLACE=$dir exporter e 10137 --kernel-log.source=kmsg
      for i in $(seq ${trials}); do mkcg shop.slice/postgres$i.service; mkcg shop.slice/checkout$i.service; done
      settle
      (while sleep 15; do get 10137 /metrics >/dev/null; done) &
      scraper=$!
      for i in $(seq ${trials}); do
        run --bg --cgroup $CG/shop.slice/postgres$i.service -- hog --mb ${victimMb} --comm postgres$i
        wait_ready $(($(count ready) + 1)) 120
        # It has been there for longer than what grows.
        sleep 35
        while [ "$(kernel_kills)" -lt $i ]; do
          run --bg --cgroup $CG/shop.slice/checkout$i.service -- hog --mb ${pieceMb} --comm checkout
          sleep 3
        done
        counted 10137 $i
        echo 1 >$CG/shop.slice/checkout$i.service/cgroup.kill
        echo killed $i $(uptime_now)
        sleep 5
      done
      sleep 125
      kill $scraper
      scrape after 10137
    `,
    { kernel: process.env.OOM_EXPORTER_VM_KERNEL ?? "6.12", memoryMb: 512 },
  );
  const { kills } = guest.scrape("after");
  for (const kill of kills) {
    const growers = kill.before?.growers.map(({ cgroup, fromBytes, toBytes, seconds }) =>
      [cgroup, fromBytes >> 20, toBytes >> 20, seconds].join(" "),
    );
    console.log(`${kill.comm} ${kill.constraint} ${kill.outcome}: ${growers?.join("; ")}`);
  }
  const victims = kills.map(({ comm }) => comm).sort();
  expect(victims).toEqual(Array.from({ length: trials }, (_, i) => `postgres${i + 1}`));
  for (const kill of kills) {
    const number = kill.comm.slice(-1);
    expect(kill).toMatchObject({ constraint: "none", outcome: "stopped" });
    expect(kill.before?.growers[0]?.cgroup).toBe(`/shop.slice/checkout${number}.service`);
    const uses = kill.before?.limitUse.map(([, bytes]) => bytes) ?? [];
    expect(uses.length).toBeGreaterThan(2);
    expect(Math.max(...uses)).toBeLessThanOrEqual(kill.before?.limitBytes ?? 0);
    // The kernel gives some back right before it kills.
    expect(uses.at(-1)).toBeGreaterThan(0.95 * Math.max(...uses));
    expect(guest.file("after.metrics")).toMatch(
      new RegExp(`^oom_kill_timestamp_seconds\\{[^}]*grower="checkout${number}.service"`, "m"),
    );
  }
});
