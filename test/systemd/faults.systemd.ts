import { beforeAll, describe, expect, it } from "vitest";
import { type Facts, findOut } from "./facts.ts";

/*
 * What goes wrong on a host, with the package on a Debian 13 with systemd: npm run test:systemd -- faults
 */

let facts: Facts;

beforeAll(async () => {
  facts = await findOut(`
    dpkg -i /share/old.deb >/dev/null 2>&1
    systemctl restart oom-exporter; fact restart-status $?
    fact ready-when-started "$(page /-/ready)"

    kill_one first; await 60 counted 1; fact counted "$(metric oom_kills_total)"
    kill -9 $(main_pid); kill_one meanwhile
    await 120 ready; await 60 counted 2
    fact counted-over-kill-9 "$(metric oom_kills_total)"
    fact named-over-kill-9 "$(page '/api/v1/kills' | grep -oE 'meanwhile.service' | head -n 1)"

    systemctl stop rsyslog.service syslog.socket 2>/dev/null; rm -f /var/log/kern.log /var/log/syslog /var/log/messages
    echo 1 >/proc/sys/kernel/dmesg_restrict
    systemctl restart oom-exporter
    fact source-without-log "$(metric 'oom_log_source_up{source="kmsg"}')"
    kill_one third; await 60 counted 3; fact counted-without-log "$(metric oom_kills_total)"

    pid=$(main_pid)
    systemd-run --quiet --wait --unit=hostgreedy sh -c 'exec tail /dev/zero' 2>/dev/null
    await 120 counted 4; fact counted-host "$(metric oom_kills_total)"
    [ "$(main_pid)" = "$pid" ]; fact same-process $?

    without_kmsg; systemctl restart oom-exporter
    kill_one unseen; await 120 unaccounted 1
    fact sources-without-all "$(series oom_log_source_up)"
    fact unaccounted "$(metric oom_kills_unaccounted)"
    with_kmsg

    settings --web.listn-address=127.0.0.1:10137
    systemctl restart oom-exporter 2>/dev/null; fact wrong-flag-status $?
    await 60 in_state failed
    fact wrong-flag-state "$(show ActiveState) $(show SubState) $(show NRestarts)"
    fact wrong-flag-said "$(journalctl -u oom-exporter -o cat --no-pager | grep 'unknown flag' | tail -n 1)"

    node -e 'require("node:net").createServer((peer) => peer.destroy()).listen(10199, "127.0.0.1")' &
    await 120 listening 10199; fact taken $?
    settings --web.listen-address=127.0.0.1:10199
    systemctl reset-failed oom-exporter
    systemctl restart oom-exporter 2>/dev/null; fact taken-port-status $?
    fact taken-port-said "$(journalctl -u oom-exporter -o cat --no-pager | grep 'cannot listen' | tail -n 1)"
    kill %1

    settings
    systemctl restart oom-exporter; fact mended-status $?
    fact mended "$(systemctl is-active oom-exporter)"
    systemctl stop oom-exporter
    fact stopped "$(show Result)"
  `);
});

describe("systemctl start", () => {
  it("returns when the exporter is ready", () => {
    expect(facts.of("restart-status")).toBe("0");
    expect(facts.of("ready-when-started")).toBe("ready");
  });

  it("fails with a wrong flag, which is not tried again", () => {
    expect(facts.of("wrong-flag-status")).not.toBe("0");
    // While systemd waits to try again, a unit is "activating auto-restart".
    expect(facts.of("wrong-flag-state")).toBe("failed failed 0");
    expect(facts.of("wrong-flag-said")).toContain(
      "unknown flag --web.listn-address; did you mean --web.listen-address?",
    );
  });

  it("fails if the port is taken", () => {
    expect(facts.of("taken")).toBe("0");
    expect(facts.of("taken-port-status")).not.toBe("0");
    expect(facts.of("taken-port-said")).toContain("cannot listen on 127.0.0.1:10199");
  });

  it("works again when the settings do", () => {
    expect(facts.of("mended-status")).toBe("0");
    expect(facts.of("mended")).toBe("active");
  });
});

describe("a kill is counted once", () => {
  it("as it happens", () => {
    expect(facts.of("counted")).toBe("1");
  });

  it("while the exporter itself was killed", () => {
    expect(facts.of("counted-over-kill-9")).toBe("2");
    expect(facts.of("named-over-kill-9")).toBe("meanwhile.service");
  });

  it("on a host without a log and with kernel.dmesg_restrict=1", () => {
    expect(facts.of("source-without-log")).toBe("1");
    expect(facts.of("counted-without-log")).toBe("3");
  });

  it("when the host itself runs out, which the exporter survives", () => {
    expect(facts.of("counted-host")).toBe("4");
    expect(facts.of("same-process")).toBe("0");
  });
});

it("without a log and without the ring, the unit says that it is blind, and how much it missed", () => {
  expect(facts.of("sources-without-all")).toMatch(/^(oom_log_source_up\{source="\w+"\} 0 ?)+$/);
  expect(facts.of("unaccounted")).toBe("1");
});

it("systemctl stop ends it with success", () => {
  expect(facts.of("stopped")).toBe("success");
});
