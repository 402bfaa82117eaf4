import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, inject, it, onTestFinished } from "vitest";
import { bootSystemd } from "./kit/machine.ts";
import { runInGuest } from "./scenario.ts";
import { scrapeOf } from "./scrape.ts";

/** Starts the exporter inside, with the flags in $FLAGS; /c is the container's root. */
const runtimes = {
  "systemd-nspawn":
    "systemd-nspawn --quiet --register=no --keep-unit -D /c --bind-ro=/share --bind=/results --as-pid2 $RUN",
  LXC: `lxc-execute -n c -f /run/c.conf -- $RUN`,
};

/*
 * /proc/vmstat of a container counts the kills of the whole host, and /dev/kmsg shows them. The exporter inside must take
 * neither for its own; the one outside sees the kill.
 */
it.each(Object.entries(runtimes))(
  "in a container of %s the host's kills are not its own, and it says so",
  async (_, command) => {
    const { status, stdout, stderr, results } = await bootSystemd({
      packages: ["systemd-container", "lxc"],
      kernel: process.env.OOM_EXPORTER_VM_KERNEL ?? "6.12",
      memoryMb: 768,
      timeoutSeconds: 1300,
      share: inject("guestShare"),
      script: `
      . /share/guest.sh
      exporter host 10137 --kernel-log.source=kmsg
      mkdir -p /run/c /c
      mount -t tmpfs tmpfs /run/c
      mkdir /run/c/up /run/c/work
      mount -t overlay overlay -o lowerdir=/,upperdir=/run/c/up,workdir=/run/c/work /c
      rm -rf /c/var/log/kern.log /c/var/log/syslog /c/var/log/messages /c/var/log/journal
      mkdir -p /c/share /c/results
      cat >/run/c.conf <<CONF
lxc.rootfs.path = dir:/c
lxc.net.0.type = none
lxc.apparmor.profile = unconfined
lxc.mount.auto = proc:mixed sys:ro cgroup:mixed
lxc.mount.entry = /share share none bind,ro 0 0
lxc.mount.entry = /results results none bind 0 0
CONF
      # Before the exporter: nspawn takes a directory once.
      RUN='/usr/bin/env node /share/dist/oom-exporter.mjs doctor --json'
      ${command} >/results/doctor.json 2>/results/doctor.err || true
      RUN='/usr/bin/env node --single-threaded /share/dist/oom-exporter.mjs --web.listen-address=127.0.0.1:10139 --state.directory=/results/state-c'
      ${command} >/results/c.log 2>&1 &
      tries=0
      until get 10139 /-/ready >/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 240 ] || { cat /results/c.log >&2; exit 1; }
        sleep 0.5
      done
      settle
      systemd-run --quiet --wait -p MemoryMax=24M -p MemorySwapMax=0 sh -c 'exec tail /dev/zero' || true
      counted 10137 1
      sleep 12
      scrape host 10137
      scrape c 10139
      get 10139 /api/v1/status >/results/status.json
      get 10139 / >/results/page.html
    `,
    });
    onTestFinished(() => rmSync(results, { recursive: true, force: true }));
    if (status !== 0) throw new Error(`the guest ended with ${status}:\n${stdout}${stderr}`);
    const file = (name: string) => readFileSync(join(results, name), "utf8");
    const scrape = (name: string) =>
      scrapeOf({
        metrics: file(`${name}.metrics`),
        kills: file(`${name}.kills.json`),
        vmstat: file(`${name}.vmstat`),
      });
    expect(scrape("host").sum("oom_kills_total")).toBe(1);
    expect(scrape("host").kernelKills).toBe(1);
    const inside = file("c.metrics");
    expect(inside).toMatch(/^oom_exporter_build_info/m);
    expect(inside).not.toMatch(/^oom_kernel_kills_total/m);
    expect(inside).not.toMatch(/^oom_kills_unaccounted/m);
    expect(scrape("c").kills).toEqual([]);
    const log = file("c.log");
    console.log(log);
    expect(log.match(/this is a container: the host's processes are not visible/g)).toHaveLength(1);
    expect(log).toContain("/dev/kmsg: it shows the host's kills, and this is a container");
    expect(file("page.html")).toMatch(/container/);
    const view = JSON.parse(file("doctor.json")).checks.find(
      ({ name }: { name: string }) => name === "view of the host",
    );
    expect(view).toMatchObject({
      state: "partial",
      found: expect.stringMatching(/^the container's own/),
    });
  },
);

it("on cgroup v2 names that are not UTF-8 are shown escaped, and paths over 4,096 bytes are counted", async () => {
  const guest = await runInGuest(`
    mkcg odd/first 64M
    base=$CG/odd
    for name in '\\377' 'caf\\351' 'a\\200b'; do mkdir "$base/$(printf "$name")"; done
    node -e '
      const { mkdirSync, writeFileSync } = require("node:fs");
      process.chdir(process.argv[1]);
      for (let level = 0; level < 4096 / 251 + 3; level++) {
        try { writeFileSync("cgroup.subtree_control", "+memory"); } catch {}
        mkdirSync("n".repeat(250));
        process.chdir("n".repeat(250));
      }
    ' "$base"
    exporter e 10137 --kernel-log.source=kmsg
    victim="$base/$(printf 'caf\\351')"
    echo 12M >"$victim/memory.max"
    run --cgroup "$victim" -- hog --comm hog
    counted 10137 1
    sleep 12
    scrape after 10137
  `);
  const after = guest.scrape("after");
  const shown = after
    .samples("oom_cgroup_memory_current_bytes")
    .map(({ labels }) => labels.cgroup)
    .filter((cgroup) => /^\/odd\/[^n][^/]*$/.test(cgroup ?? ""));
  expect(shown.sort()).toEqual(
    ["/odd/first", "/odd/\\xff", "/odd/caf\\xe9", "/odd/a\\x80b"].sort(),
  );
  const unreadable = after
    .samples("oom_cgroups_left_out")
    .find(({ labels }) => labels.reason === "unreadable");
  expect(unreadable?.value).toBe(1);
  expect(after.kills).toMatchObject([{ comm: "hog", cgroup: "/odd/caf\\xe9" }]);
});
