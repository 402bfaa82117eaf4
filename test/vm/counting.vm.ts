import { expect, it } from "vitest";
import { expectCountedAsDead } from "./expectations.ts";
import { runInGuest } from "./scenario.ts";

it("a group kill counts its four dead once, though the kernel prints and counts the first one twice", async () => {
  const guest = await runInGuest(`
    exporter e 10137 --kernel-log.source=kmsg
    mkcg system.slice/job.service 48M
    echo 1 >$dir/memory.oom.group
    for i in 1 2 3; do run --bg --cgroup $dir -- hog --mb 4 --comm worker-$i; done
    wait_ready 3
    run --cgroup $dir -- hog --comm greedy
    wait_exits 4
    counted 10137 4
    sleep 12
    scrape after 10137
  `);
  const after = guest.scrape("after");
  expect(guest.truth.dead).toHaveLength(4);
  expectCountedAsDead(after, guest.truth);
  // Four if the first victim had exited before the kernel went through its group.
  expect([4, 5]).toContain(after.kernelKills);
  const job = "/system.slice/job.service";
  for (const kill of after.kills) {
    expect(kill).toMatchObject({ constraint: "memcg", cgroup: job, limitCgroup: job, group: job });
  }
  expect(after.samples("oom_workload_kills_total")).toContainEqual(
    expect.objectContaining({
      labels: expect.objectContaining({ cgroup: job, unit: "job.service" }),
      value: 4,
    }),
  );
});

it("a parent's limit reached by a neighbour is reported as the parent's", async () => {
  const guest = await runInGuest(`
    exporter e 10137 --kernel-log.source=kmsg
    mkcg pool.slice/quiet.service
    mkcg pool.slice/greedy.service
    echo 40M >$CG/pool.slice/memory.max
    run --bg --cgroup $CG/pool.slice/quiet.service -- hog --mb 8 --comm quiet
    wait_ready 1
    run --cgroup $CG/pool.slice/greedy.service -- hog --comm greedy
    counted 10137 1
    sleep 12
    scrape after 10137
  `);
  const after = guest.scrape("after");
  expectCountedAsDead(after, guest.truth);
  expect(after.kills[0]).toMatchObject({
    comm: "greedy",
    cgroup: "/pool.slice/greedy.service",
    limitCgroup: "/pool.slice",
    limitBytes: 40 << 20,
    cause: "parent_cgroup_limit",
  });
});

it("a forged kill in /dev/kmsg is not counted", async () => {
  const guest = await runInGuest(`
    exporter e 10137 --kernel-log.source=kmsg
    forged='Killed process 4242 (forged) total-vm:9kB, anon-rss:9kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:9kB oom_score_adj:0'
    for level in '' '<3>' '<11>'; do
      echo "$level""Out of memory: $forged" >/dev/kmsg
      echo "$level""Memory cgroup out of memory: $forged" >/dev/kmsg
    done
    mkcg real 16M
    run --cgroup $dir -- hog --comm real
    counted 10137 1
    sleep 12
    scrape after 10137
  `);
  expect(guest.truth.dead.map(({ comm }) => comm.toString())).toEqual(["real"]);
  expectCountedAsDead(guest.scrape("after"), guest.truth);
});

it.each([
  ["one after another", 1],
  ["eight at a time", 8],
])("200 kills in one cgroup, %s, are counted 200 times", async (_, parallel) => {
  const guest = await runInGuest(
    `
      exporter e 10137 --kernel-log.source=kmsg
      settle
      mkcg system.slice/burst.service 4M
      echo started $(uptime_now)
      burst --n 200 --parallel ${parallel} --cgroup $dir
      echo ended $(uptime_now)
      counted 10137 200
      sleep 12
      scrape after 10137
    `,
    // A ring that an emulated processor can keep up with; restart.vm.ts has one that loses records.
    { kernelArguments: "log_buf_len=4M" },
  );
  const after = guest.scrape("after");
  expect(guest.truth.dead).toHaveLength(200);
  expect(after.kernelKills).toBe(200);
  expectCountedAsDead(after, guest.truth);
  const named = after.kills.filter(({ cgroup }) => cgroup !== null);
  expect(new Set(named.map(({ cgroup }) => cgroup))).toEqual(
    new Set(["/system.slice/burst.service"]),
  );
  expect(after.sum("oom_log_suppressed_dumps_total")).toBeGreaterThan(0);
  const seconds = guest.number("ended") - guest.number("started");
  console.log(`200 kills in ${seconds.toFixed(1)} s: ${named.length} named, none wrong`);
});

it.each([
  ["without swap", 0],
  ["with swap", 96],
])(
  "a host that runs out of memory %s: counted as dead, and the exporter lives",
  async (_, swapMb) => {
    const guest = await runInGuest(
      `
        exporter e 10137 --kernel-log.source=kmsg
        before=$(cat /run/e.pid)
        for i in 1 2 3; do run -- hog --random --comm first-$i; done
        for i in 1 2 3; do run --bg -- hog --random --comm second-$i; done
        wait_exits 6 120
        counted 10137 6
        sleep 12
        scrape after 10137
        kill -0 $before && echo survivors 1
      `,
      { swapMb, memoryMb: 448 },
    );
    const after = guest.scrape("after");
    expect(guest.truth.dead).toHaveLength(6);
    expect(after.kernelKills).toBe(6);
    expectCountedAsDead(after, guest.truth);
    expect((after.sum("oom_host_swap_out_bytes_total") ?? 0) > 0).toBe(swapMb > 0);
    expect(guest.number("survivors")).toBe(1);
    for (const kill of after.kills) expect(kill).toMatchObject({ constraint: "none" });
  },
);
