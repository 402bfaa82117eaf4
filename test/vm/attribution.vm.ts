import { expect, it } from "vitest";
import type { Kill } from "../../src/kills/kill.ts";
import { expectCountedAsDead, namingOf, wronglyTold } from "./expectations.ts";
import { runInGuest } from "./scenario.ts";

/** Seconds from the first to the last of the kills, by the kernel's stamps. */
function spanOf(kills: readonly Kill[]): string {
  const stamps = kills.map(({ uptimeSeconds }) => uptimeSeconds ?? 0);
  return (Math.max(...stamps) - Math.min(...stamps)).toFixed(1);
}

/** The three kills before: emulated, the first ones take an exporter seconds that has not met any yet. */
const sixtyCgroups = `
  exporter e 10137 --kernel-log.source=kmsg
  settle
  for i in $(seq 60); do mkcg system.slice/job-$i.service 4M; done
  mkcg system.slice/before.service 8M
  for i in 1 2 3; do run --cgroup $dir -- hog --comm before; done
  counted 10137 3
  get 10137 /metrics >/dev/null
`;
const seeTheEnd = `
  wait_exits 63 120
  counted 10137 63
  sleep 12
  scrape after 10137
`;

it.each([
  [
    "workloads that had been running",
    `
      for i in $(seq 60); do run --bg --cgroup $CG/system.slice/job-$i.service -- hog --mb 1 --comm job; done
      wait_ready 60
      get 10137 /metrics >/dev/null
      for i in $(seq 60); do echo 256K >$CG/system.slice/job-$i.service/memory.max & done
    `,
    57,
  ],
  [
    "processes just started",
    `
      for i in $(seq 60); do run --bg --cgroup $CG/system.slice/job-$i.service -- hog --comm job; done
    `,
    // Emulated, processes die before the exporter has had its turn: it is held to more than the log tells.
    undefined,
  ],
])("60 kills in 60 cgroups, %s: none names another's", async (whose, kills, atLeast) => {
  const guest = await runInGuest(`${sixtyCgroups}${kills}${seeTheEnd}`);
  const after = guest.scrape("after");
  expect(guest.truth.dead).toHaveLength(63);
  expectCountedAsDead(after, guest.truth);
  const storm = after.kills.filter(({ comm }) => comm === "job");
  const withoutDump = storm.filter(({ suppressed }) => suppressed).length;
  const naming = namingOf(after, guest.truth, "job");
  console.log(
    `60 kills in 60 cgroups in ${spanOf(storm)} s, ` +
      `${withoutDump} without a dump, ${whose}: ` +
      `${naming.right} named right, ${naming.unnamed} not named, ${naming.wrong.length} wrong`,
  );
  expect(naming.wrong).toEqual([]);
  expect(wronglyTold(after, guest.truth)).toEqual([]);
  expect(naming.right).toBeGreaterThanOrEqual(atLeast ?? storm.length - withoutDump + 1);
});
