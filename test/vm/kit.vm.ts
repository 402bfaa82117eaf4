import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { bootMachine, bootSystemd, type Machine, type MachineEnd } from "./kit/machine.ts";

async function endOf(boot: (machine: Machine) => Promise<MachineEnd>, machine: Machine) {
  const end = await boot(machine);
  onTestFinished(() => rmSync(end.results, { recursive: true, force: true }));
  return end;
}

it("a machine brings back what its script printed, what it left under /results, and its exit status", async () => {
  const end = await endOf(bootMachine, {
    script: "uname -r; echo a complaint >&2; cp guest.sh /results/copy; exit 7",
    share: "test/vm",
  });
  console.log(`boot, script and end: ${end.seconds.toFixed(1)} s`);
  expect(end).toMatchObject({ status: 7, stderr: "a complaint\n" });
  expect(end.stdout).toMatch(/^\d+\.\d+\..*-cloud-amd64\n$/);
  expect(readFileSync(join(end.results, "copy"))).toEqual(readFileSync("test/vm/guest.sh"));
});

it("its memory, swap, nodes and kernel arguments are those asked for", async () => {
  const { stdout } = await endOf(bootMachine, {
    script: `
      awk '/^MemTotal/ { print $2 < 300 * 1024 } /^SwapTotal/ { print $2 }' /proc/meminfo
      ls -d /sys/devices/system/node/node? | wc -l
      grep -o 'quite=so' /proc/cmdline
    `,
    memoryMb: 300,
    swapMb: 64,
    numaNodes: 2,
    kernelArguments: "quite=so",
  });
  expect(stdout.split("\n")).toEqual(["1", `${64 * 1024 - 4}`, "2", "quite=so", ""]);
});

it("a machine reboots if its script asks for it, with its files", async () => {
  const { stdout } = await endOf(bootMachine, {
    script: `
      . /kit/lib.sh
      echo "boot $BOOT: $(cat /root/note 2>/dev/null)"
      [ $BOOT = 2 ] && exit
      echo remembered >/root/note
      reboot_machine
    `,
    mayReboot: true,
  });
  expect(stdout).toBe("boot 1: \nboot 2: remembered\n");
});

it("a machine that panics or hangs is an error with the end of its console", async () => {
  const panic = "echo said before; sync; sleep 2; echo c >/proc/sysrq-trigger; sleep 60";
  await expect(bootMachine({ script: panic })).rejects.toThrow(
    /^the machine ended before its script did[\s\S]*said before[\s\S]*Kernel panic/,
  );
  await expect(bootMachine({ script: "sleep 600", timeoutSeconds: 20 })).rejects.toThrow(
    /^the machine ran out of time after 20 s/,
  );
});

it("two machines at once do not disturb each other", async () => {
  const ends = await Promise.all(
    ["one", "other"].map((name) =>
      endOf(bootMachine, { script: `echo ${name} >/results/name; sleep 3; cat /results/name` }),
    ),
  );
  expect(ends.map(({ stdout }) => stdout)).toEqual(["one\n", "other\n"]);
});

it("a machine with Debian's own systemd runs its script once the boot is complete", async () => {
  const end = await endOf(bootSystemd, {
    script: `
      . /etc/os-release
      echo $VERSION_CODENAME $(ps -o comm= 1) $(systemctl is-active multi-user.target rsyslog.service)
      systemctl --failed --plain --no-legend
      swapon --show=SIZE --noheadings
      systemd-run --quiet --wait --unit=greedy -p MemoryMax=24M -p MemorySwapMax=0 sh -c 'exec tail /dev/zero'
      systemctl show -P Result greedy
      grep -c 'Memory cgroup out of memory: Killed process .* (tail)' /var/log/kern.log
    `,
    kernel: "6.12",
    memoryMb: 768,
    swapMb: 64,
    timeoutSeconds: 400,
  });
  console.log(`boot, script and end: ${end.seconds.toFixed(1)} s`);
  expect(end.stdout.split("\n")).toEqual([
    "trixie systemd active active",
    "64M",
    "oom-kill",
    "1",
    "",
  ]);
});
