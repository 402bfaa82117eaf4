import { beforeAll, describe, expect, it } from "vitest";
import { type Facts, findOut } from "./facts.ts";

/*
 * The Debian package on a Debian 13 with systemd, from its installation to its purge:
 * npm run test:systemd -- life
 */

let facts: Facts;

beforeAll(async () => {
  facts = await findOut(`
    dpkg -i /share/old.deb >/results/dpkg 2>&1; fact installed $?
    fact active "$(systemctl is-active oom-exporter)"
    fact enabled "$(systemctl is-enabled oom-exporter)"
    fact verified "$(systemd-analyze verify oom-exporter.service oom-exporter.socket oomexporter.slice 2>&1)"
    fact drop-ins "$(show DropInPaths)"
    fact exposure "$(exposure)"
    exposed >/results/exposed
    without_kmsg; fact exposure-without-kmsg "$(exposure)"
    exposed >/results/exposed-without-kmsg; with_kmsg
    status=/proc/$(main_pid)/status
    fact user "$(stat -c %U /proc/$(main_pid))"
    fact capabilities "$(awk '/^CapEff/ { print $2 }' $status)"
    fact score-adj "$(cat /proc/$(main_pid)/oom_score_adj)"
    fact cgroup "$(show ControlGroup)"
    fact protected "$(cat /sys/fs/cgroup$(show ControlGroup)/memory.min)"
    fact memory "$(awk '/^(VmRSS|RssAnon)/ { print $1 $2 }' $status)"

    kill_one first
    await 60 counted 1; fact counted "$(metric oom_kills_total)"
    fact named "$(page '/api/v1/kills' | grep -oE '"unit": *"first.service"')"

    settings --log.format=json
    before=$(main_pid)
    dpkg -i /share/new.deb >>/results/dpkg 2>&1; fact upgraded $?
    [ "$(main_pid)" != "$before" ]; fact restarted $?
    fact active-after-upgrade "$(systemctl is-active oom-exporter)"
    await 60 counted 1; fact counted-after-upgrade "$(metric oom_kills_total)"
    fact settings-after-upgrade "$(cat /etc/default/oom-exporter)"
    fact unset-variable "$(journalctl -u oom-exporter -o cat --no-pager | grep -c 'unset environment')"
    systemctl disable --quiet oom-exporter
    dpkg -i /share/new.deb >/dev/null 2>&1
    fact stays-disabled "$(systemctl is-enabled oom-exporter)"

    dpkg -r oom-exporter >>/results/dpkg 2>&1; fact removed $?
    fact processes "$(pgrep -c -x oom-exporter)"
    fact units "$(systemctl list-units --all --plain --no-legend 'oom*')"
    fact unit-files "$(systemctl list-unit-files --plain --no-legend 'oom*')"
    fact state-after-removal "$(ls /var/lib/private/oom-exporter | wc -l)"
    dpkg -P oom-exporter >>/results/dpkg 2>&1; fact purged $?
    fact left "$(find / -xdev -name '*oom-exporter*' -not -path '/share/*' -not -path '/proc/*' -not -path '/results/*' -not -path '/kit/*' -not -path '/var/log/*' 2>/dev/null)"
    fact files "dpkg exposed exposed-without-kmsg"
  `);
  console.log(facts.file("dpkg"), facts.file("exposed"), facts.file("exposed-without-kmsg"));
});

describe("installed, the service", () => {
  it("runs, and starts with the machine", () => {
    expect(facts.of("installed")).toBe("0");
    expect(facts.of("active")).toBe("active");
    expect(facts.of("enabled")).toBe("enabled");
  });

  it("has units that systemd finds nothing wrong with", () => {
    expect(facts.of("verified")).toBe("");
  });

  it("reads the kernel's ring, and has no other right than that takes", () => {
    expect(facts.of("drop-ins")).toBe("/usr/lib/systemd/system/oom-exporter.service.d/kmsg.conf");
    expect(facts.of("user")).toBe("oom-exporter");
    expect(facts.of("capabilities")).toBe("0000000400000000");
  });

  it("is exposed as little as it is said to be", () => {
    expect(Number(facts.of("exposure"))).toBeLessThanOrEqual(2.1);
    expect(Number(facts.of("exposure-without-kmsg"))).toBeLessThanOrEqual(1.6);
  });

  it("has memory that stays its own, and is no victim", () => {
    expect(facts.of("score-adj")).toBe("-900");
    expect(facts.of("cgroup")).toBe("/oomexporter.slice/oom-exporter.service");
    expect(facts.of("protected")).toBe(`${64 * 2 ** 20}`);
  });

  it("counts a kill and names its unit", () => {
    expect(facts.of("counted")).toBe("1");
    expect(facts.of("named")).toContain("first.service");
  });

  it("starts without a complaint about its environment", () => {
    expect(facts.of("unset-variable")).toBe("0");
  });
});

describe("an upgrade", () => {
  it("restarts it, with its counts and the administrator's settings", () => {
    expect(facts.of("upgraded")).toBe("0");
    expect(facts.of("restarted")).toBe("0");
    expect(facts.of("active-after-upgrade")).toBe("active");
    expect(facts.of("counted-after-upgrade")).toBe("1");
    expect(facts.of("settings-after-upgrade")).toBe('OPTIONS="--log.format=json"');
  });

  it("leaves it disabled if an administrator disabled it", () => {
    expect(facts.of("stays-disabled")).toBe("disabled");
  });
});

describe("a removal", () => {
  it("leaves no process and no unit, but the state", () => {
    expect(facts.of("removed")).toBe("0");
    expect(facts.of("processes")).toBe("0");
    expect(facts.of("units")).toBe("");
    expect(facts.of("unit-files")).toBe("");
    expect(Number(facts.of("state-after-removal"))).toBeGreaterThan(0);
  });

  it("leaves nothing when it is a purge", () => {
    expect(facts.of("purged")).toBe("0");
    expect(facts.of("left")).toBe("");
  });
});
