import { expect, it } from "vitest";
import { expectCountedAsDead } from "./expectations.ts";
import { runInGuest } from "./scenario.ts";

/** As hog's --comm takes them. */
const names = [
  String.raw`a\nb`,
  String.raw`end\n`,
  "x) y (z",
  "a) total-vm:9kB",
  "Killed process",
  String.raw`\xff\xfeq`,
  String.raw`k\xc3\xa4se`,
  String.raw`back\\slash`,
  String.raw`\x1b[31mred`,
  " ",
  "",
];

it("odd names are reported unchanged, once each, from the ring buffer and from rsyslog's kern.log", async () => {
  const guest = await runInGuest(`
    syslog
    exporter ring 10137 --kernel-log.source=kmsg
    exporter file 10138 --kernel-log.source=file
    mkcg system.slice/odd.service 12M
    for comm in ${names.map((name) => `'${name}'`).join(" ")}; do
      run --cgroup $dir -- hog --comm "$comm"
    done
    counted 10137 ${names.length}
    counted 10138 ${names.length}
    sleep 12
    scrape ring 10137
    scrape file 10138
    cp /var/log/kern.log /results/kern.log
  `);
  expect(guest.truth.dead).toHaveLength(names.length);
  for (const source of ["ring", "file"]) {
    const shown = guest.scrape(source);
    expect.soft(shown.sum("oom_log_unparsed_kills_total"), source).toBe(0);
    expectCountedAsDead(shown, guest.truth);
  }
});
