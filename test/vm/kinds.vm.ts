import { expect, it } from "vitest";
import { expectCountedAsDead, wronglyTold } from "./expectations.ts";
import { runInGuest } from "./scenario.ts";

const podUid = "5c1f1c9e-7d0b-4f1c-9a51-0b7f1f6f1a11";
const containerId = "4f1d2c3b4a59687786958493a2b1c0d1e2f30415263748596a7b8c9dae0b1c2d";
const podCgroup = `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${podUid.replaceAll("-", "_")}.slice/cri-containerd-${containerId}.scope`;

it("each kind of kill is counted once, with its own constraint, cgroup and owner", async () => {
  const guest = await runInGuest(
    `
      mkdir -p /var/log/pods/shop_cart-7d9f8-x2x_${podUid}/app /var/log/containers
      ln -s /var/log/pods/shop_cart-7d9f8-x2x_${podUid}/app/0.log \\
        /var/log/containers/cart-7d9f8-x2x_shop_app-${containerId}.log
      # oom_kill_allocating_task below would take it at any other value.
      SCORE_ADJ=-1000 exporter e 10137 --kernel-log.source=kmsg
      settle

      mkcg ${podCgroup} 24M
      run --pidns --cgroup $dir --adj 999 --uid 1000 -- hog --comm pod
      mkcg pool.slice/quiet.service
      mkcg pool.slice/parent.service
      echo 24M >$CG/pool.slice/memory.max
      run --cgroup $dir -- hog --comm parent
      mkcg system.slice/group.service 24M
      echo 1 >$dir/memory.oom.group
      for i in 1 2; do run --bg --cgroup $dir -- hog --mb 2 --comm member; done
      wait_ready 2
      run --cgroup $dir -- hog --comm greedy
      wait_exits 5
      # Ten full reports in five seconds, no more: what follows shall have one each.
      sleep 5
      mkcg pinned.slice/pinned.service
      echo 1 >$CG/pinned.slice/cpuset.mems
      echo 1 >$dir/cpuset.mems
      run --cgroup $dir -- hog --comm cpuset
      mkcg system.slice/bound.service
      run --cgroup $dir -- hog --mbind 1 --comm mempolicy
      mkcg system.slice/host.service
      run --cgroup $dir -- hog --comm host
      mkcg system.slice/big.service
      run --bg --cgroup $dir -- hog --mb 250 --comm big
      wait_ready 3
      mkcg system.slice/asks.service
      sleep 5
      echo 1 >/proc/sys/vm/oom_kill_allocating_task
      run --cgroup $dir -- hog --comm asks
      echo 0 >/proc/sys/vm/oom_kill_allocating_task
      echo f >/proc/sysrq-trigger
      wait_exits 10
      counted 10137 $(dead)
      sleep 12
      scrape after 10137
    `,
    { memoryMb: 640, numaNodes: 2 },
  );
  const after = guest.scrape("after");
  console.log(
    after.kills.map(({ comm, cause, constraint }) => `${comm}: ${constraint}, ${cause}`).join("\n"),
  );
  expectCountedAsDead(after, guest.truth);
  expect(wronglyTold(after, guest.truth)).toEqual([]);
  const told = Object.fromEntries(
    after.kills.map(({ comm, constraint, cause, cgroup }) => [comm, { constraint, cause, cgroup }]),
  );
  expect(told).toMatchObject({
    pod: { constraint: "memcg", cgroup: `/${podCgroup}` },
    parent: { constraint: "memcg", cause: "parent_cgroup_limit" },
    greedy: { constraint: "memcg", cgroup: "/system.slice/group.service" },
    member: { constraint: "memcg", cgroup: "/system.slice/group.service" },
    cpuset: { constraint: "cpuset" },
    mempolicy: { constraint: "memory_policy" },
    host: { constraint: "none" },
    asks: { constraint: "none" },
    big: { constraint: "none" },
  });
  expect(after.samples("oom_workload_kills_total")).toContainEqual(
    expect.objectContaining({
      labels: expect.objectContaining({
        namespace: "shop",
        pod: "cart-7d9f8-x2x",
        container: "app",
      }),
    }),
  );
});

it("with oom_kill_allocating_task the exporter's own kill is counted after its restart", async () => {
  const guest = await runInGuest(`
    exporter_as unit e 10137 --kernel-log.source=kmsg
    settle
    me=$(cat /run/e.pid)
    echo 1 >/proc/sys/vm/oom_kill_allocating_task
    # It is the only process that may be killed, and asks with each scrape.
    mkdir /run/full
    mount -t tmpfs -o size=100% full /run/full
    available=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
    busybox dd if=/dev/zero of=/run/full/file bs=1M count=$((available - 40)) 2>/dev/null
    while kill -0 $me 2>/dev/null; do
      get 10137 /metrics >/dev/null
      busybox dd if=/dev/zero bs=256k count=1 2>/dev/null >>/run/full/file
    done
    wait $me
    echo status $?
    umount /run/full
    echo 0 >/proc/sys/vm/oom_kill_allocating_task
    dmesg | grep -o 'Out of memory.*Killed process.*' | sed 's/^/line /'
    exporter_as unit e 10137 --kernel-log.source=kmsg
    counted 10137 1
    sleep 12
    scrape after 10137
    echo me $me
  `);
  console.log(guest.said("line"));
  expect(guest.number("status")).toBe(128 + 9);
  const after = guest.scrape("after");
  expect(after.kills.map(({ pid }) => pid)).toEqual([guest.number("me")]);
  expect(after.sum("oom_kills_total")).toBe(1);
  expect(after.sum("oom_kills_unaccounted")).toBe(0);
  expect(after.kernelKills).toBe(1);
});
