import { expect, it } from "vitest";
import { expectCountedAsDead, wronglyTold } from "./expectations.ts";
import { runInGuest } from "./scenario.ts";

const killsInJob = `
  mkcg system.slice/job.service 8M
  kills() { for i in $(seq $1); do run --cgroup $dir -- hog --comm "$2-$i"; done; }
`;

it("kills of both boots are counted over a reboot, also those while the exporter was down", async () => {
  const guest = await runInGuest(
    `
      ${killsInJob}
      if [ $BOOT = 1 ]; then
        exporter e 10137 --kernel-log.source=kmsg
        kills 2 before
        counted 10137 2
        scrape before 10137
        reboot_machine
      fi
      kills 1 early
      exporter e 10137 --kernel-log.source=kmsg
      kills 2 after
      counted 10137 5
      sleep 12
      scrape after 10137
    `,
    { mayReboot: true },
  );
  expect(guest.scrape("before").sum("oom_kills_total")).toBe(2);
  const after = guest.scrape("after");
  expect(after.kernelKills).toBe(3);
  expectCountedAsDead(after, guest.truth);
  expect(after.kills.map(({ comm }) => comm)).toEqual([
    "after-2",
    "after-1",
    "early-1",
    "before-2",
    "before-1",
  ]);
});

it("a clock that is set an hour back and forth changes no count, and the newest kill stays the first", async () => {
  const guest = await runInGuest(`
    ${killsInJob}
    exporter e 10137 --kernel-log.source=kmsg
    now=$(date +%s)
    kills 1 first
    counted 10137 1
    date -s @$((now - 3600)) >/dev/null
    kills 1 second
    counted 10137 2
    date -s @$((now + 3600)) >/dev/null
    kills 1 third
    counted 10137 3
    date -s @$now >/dev/null
    kills 1 fourth
    counted 10137 4
    sleep 12
    scrape after 10137
  `);
  const after = guest.scrape("after");
  expect(after.kernelKills).toBe(4);
  expectCountedAsDead(after, guest.truth);
  const order = ["fourth-1", "third-1", "second-1", "first-1"];
  expect(after.kills.map(({ comm }) => comm)).toEqual(order);
});

it("in its own cgroup and pid namespace it counts the host's kills, and names no wrong cgroup", async () => {
  const guest = await runInGuest(`
    ${killsInJob}
    mkcg docker/exporter 256M
    mkdir -p /host/proc /host/sys
    mount --bind /proc /host/proc
    mount --rbind /sys /host/sys
    echo $$ >$CG/docker/exporter/cgroup.procs
    AS='unshare --cgroup --mount --pid --fork --mount-proc' exporter e 10137 \\
      --kernel-log.source=kmsg --path.procfs=/host/proc --path.sysfs=/host/sys --path.rootfs=/
    echo $$ >$CG/cgroup.procs
    mkcg system.slice/job.service 8M
    kills 3 job
    counted 10137 3
    sleep 12
    scrape after 10137
  `);
  const after = guest.scrape("after");
  expect(after.kernelKills).toBe(3);
  expectCountedAsDead(after, guest.truth);
  expect(wronglyTold(after, guest.truth)).toEqual([]);
  expect(after.kills.map(({ cgroup }) => cgroup)).toEqual(
    Array(3).fill("/system.slice/job.service"),
  );
});

it("with hidepid it still counts kills, and names no next victim of the host", async () => {
  const guest = await runInGuest(`
    ${killsInJob}
    syslog
    chmod 644 /var/log/kern.log
    mount -o remount,hidepid=2 /proc
    mkdir -m 777 /results/state-e
    AS='setpriv --reuid=65534 --regid=65534 --clear-groups' exporter e 10137 \\
      --kernel-log.source=file
    kills 3 job
    counted 10137 3
    sleep 12
    scrape after 10137
    get 10137 /api/v1/status >/results/status.json
  `);
  const after = guest.scrape("after");
  expect(after.kernelKills).toBe(3);
  expectCountedAsDead(after, guest.truth);
  expect(
    after.samples("oom_next_victim_info").filter(({ labels }) => labels.scope === "host"),
  ).toEqual([]);
});
