import { expect, it } from "vitest";
import { runInGuest } from "./scenario.ts";
import { scrapeOf } from "./scrape.ts";

const victims = 60;

/**
 * The storm of `npm run bench -- cost storm`: 60 processes start at once, each in a cgroup made right before, and
 * run into its limit 1 to 2 s later.
 */
it.each([
  ["scraped each 10 s", "(while sleep 10; do get 10137 /metrics >/dev/null; done) & scraper=$!"],
  ["not scraped before", "scraper="],
])("a dense storm, %s: all are counted, and none has a wrong cgroup", async (how, scraping) => {
  const guest = await runInGuest(`
    exporter e 10137 --kernel-log.source=kmsg
    settle
    ${scraping}
    mkfifo /run/hold
    /share/dense-storm ${victims} dense 1000 2000 </run/hold >/results/storm.txt & storm=$!
    exec 9>/run/hold
    until grep -q done /results/storm.txt || ! kill -0 $storm; do sleep 0.2; done
    counted 10137 ${victims}
    get 10137 /metrics >/results/label.metrics
    sleep 12
    scrape after 10137
    exec 9>&-
    wait $storm
    [ -z "$scraper" ] || kill $scraper
  `);
  const truth = new Map(
    guest
      .file("storm.txt")
      .split("\n")
      .filter((line) => line.startsWith("killed "))
      .map((line) => [Number(line.split(" ")[1]), line.split(" ")[2]] as const),
  );
  const after = guest.scrape("after");
  const told = scrapeOf({
    metrics: guest.file("label.metrics"),
    kills: guest.file("after.kills.json"),
    vmstat: guest.file("after.vmstat"),
  });
  const byLabel = told
    .samples("oom_kill_timestamp_seconds")
    .map(({ labels }) => [Number(labels.pid), labels.cgroup ?? ""] as const);
  const byApi = after.kills.map(({ pid, cgroup }) => [pid, cgroup ?? ""] as const);
  const naming = (names: readonly (readonly [number, string])[]) => ({
    named: names.filter(([pid, cgroup]) => cgroup === truth.get(pid)).length,
    none: names.filter(([, cgroup]) => cgroup === "").length,
    wrong: names.filter(([pid, cgroup]) => cgroup !== "" && cgroup !== truth.get(pid)),
  });
  const [labels, api] = [naming(byLabel), naming(byApi)];
  const lasted = guest.file("storm.txt").match(/done (\d+)/)?.[1];
  console.log(
    `${how}: ${victims} in ${lasted} ms; by label ${labels.named} named, ${labels.none} not; ` +
      `later ${api.named} named, ${api.none} not`,
  );
  expect(truth.size).toBe(victims);
  expect(told.sum("oom_kills_total")).toBe(victims);
  expect(after.sum("oom_kills_unaccounted")).toBe(0);
  expect(labels.wrong).toEqual([]);
  expect(api.wrong).toEqual([]);
});
