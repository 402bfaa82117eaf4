import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { isAlert } from "../../scripts/rule-file.ts";
import { debianTool } from "../setup/debian-tools.ts";
import { needs } from "../setup/needs.ts";
import { shippedRules } from "./shipped-rules.ts";

const amtool = await debianTool("prometheus-alertmanager", "usr/bin/amtool");
const docker = fileURLToPath(new URL("../../docker/", import.meta.url));

function run(...args: string[]): string {
  return execFileSync(amtool.path as string, args, {
    cwd: docker,
    encoding: "utf8",
    stdio: "pipe",
  });
}

interface Route {
  receiver: string;
  matchers?: string[];
  group_by?: string[];
  group_wait?: string;
  group_interval?: string;
  routes?: Route[];
}

const seconds = (duration: string | undefined) => {
  const [, number, unit] = /^(\d+)([sm])$/.exec(duration ?? "") ?? [];
  return Number(number) * (unit === "m" ? 60 : 1);
};

needs(describe, amtool.obstacle)("amtool", () => {
  it.each(["alertmanager.yml", "alertmanager.examples.yml"])("accepts %s", (file) => {
    expect(run("check-config", file)).toContain("SUCCESS");
  });

  it.each(shippedRules.filter(isAlert))("routes $alert by severity", ({ alert, labels, group }) => {
    const severity = labels.severity as string;
    const isKill =
      (group.startsWith("oom-kills") && severity === "critical") || alert === "OomKillsUnaccounted";
    const expected = { critical: "page", warning: "ticket", info: "info" }[severity];
    const receiver = run(
      "config",
      "routes",
      "test",
      "--config.file=alertmanager.yml",
      `alertname=${alert}`,
      `severity=${severity}`,
      "instance=h",
    );
    expect(receiver.trim()).toBe(isKill ? "page-kill" : expected);
  });
});

describe("a higher severity", () => {
  const { inhibit_rules } = parse(readFileSync(`${docker}alertmanager.yml`, "utf8")) as {
    inhibit_rules: { source_matchers: string[]; target_matchers: string[]; equal: string[] }[];
  };

  it("mutes the lower one of the same cgroup only, because slices differ in nothing else", () => {
    const ofOneAlert = inhibit_rules.filter(({ equal }) => equal.includes("alertname"));
    expect(ofOneAlert).toHaveLength(2);
    for (const { equal } of ofOneAlert) expect(equal).toContain("cgroup");
  });

  it("mutes no page about a cgroup while the host is out of memory", () => {
    const rule = inhibit_rules.find(({ source_matchers }) =>
      source_matchers.includes('alertname="OomHostExhausted"'),
    );
    expect(rule?.target_matchers).toContain('severity=~"warning|info"');
  });
});

describe("the way of a page", () => {
  const { route } = parse(readFileSync(`${docker}alertmanager.yml`, "utf8")) as { route: Route };
  const kills = route.routes?.find(({ receiver }) => receiver === "page-kill");
  const { scrape_configs } = parse(readFileSync(`${docker}prometheus.yml`, "utf8")) as {
    scrape_configs: { scrape_interval: string; honor_labels: boolean }[];
  };
  const scrape = seconds(scrape_configs[0]?.scrape_interval);
  const text = readFileSync(new URL("../../prometheus-rules/alerts.yml", import.meta.url), "utf8");
  const { groups } = parse(text) as { groups: { name: string; interval: string }[] };
  const evaluation = (name: string) =>
    seconds(groups.find((group) => group.name === name)?.interval);

  it.each(["oom-kills", "oom-kills-without-log"])("takes at most 45 s for group %s", (group) => {
    const attribution = 0.5;
    const scraping = 1;
    const sending = 1;
    for (const wait of [kills?.group_wait, kills?.group_interval]) {
      const sum = attribution + scrape + scraping + evaluation(group) + seconds(wait) + sending;
      expect(sum).toBeLessThanOrEqual(45);
    }
  });

  it("waits until two scrapes have shown simultaneous kills", () => {
    expect(seconds(kills?.group_wait)).toBeGreaterThanOrEqual(scrape + evaluation("oom-kills"));
    expect(kills?.group_by).toEqual(["instance"]);
  });

  it("keeps the labels of the victim's owner", () => {
    expect(scrape_configs.map(({ honor_labels }) => honor_labels)).toEqual([true]);
  });
});

needs(describe, amtool.obstacle)("the message", () => {
  const owner = { instance: "db1:10137", unit: "postgresql.service", cause: "cgroup_limit" };

  function alert(alertname: string, own: Record<string, string> = {}, status = "firing") {
    const labels: Record<string, string> = { alertname, instance: "db1:10137", ...own };
    const annotations: Record<string, string> = {
      summary: `Summary of ${alertname}.`,
      description: `Description of ${alertname}.`,
      runbook_url: `https://example.org/${alertname}`,
    };
    if (alertname === "OomKill") annotations.story_url = `http://db1:10137/kills/${labels.pid}`;
    return { status, labels, annotations };
  }

  const kill = (pid: number) => alert("OomKill", { ...owner, comm: "postgres", pid: `${pid}` });

  function render(template: string, alerts: unknown[]): string {
    const directory = mkdtempSync(join(tmpdir(), "oom-message-"));
    try {
      const data = join(directory, "data.json");
      writeFileSync(data, JSON.stringify({ commonLabels: { instance: "db1:10137" }, alerts }));
      return run(
        "template",
        "render",
        "--template.glob=alertmanager/templates/*.tmpl",
        `--template.text={{ template "${template}" . }}`,
        `--template.data=${data}`,
      ).trim();
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  it("names one kill in its title: host, victim, place", () => {
    expect(render("oom.title", [kill(4711)])).toBe(
      "OOM db1:10137: postgres killed in postgresql.service",
    );
  });

  it("says what happened, what to do and where to find more", () => {
    expect(render("oom.text", [kill(4711)]).split("\n")).toEqual([
      "Summary of OomKill.",
      "Description of OomKill.",
      "Explanation: http://db1:10137/kills/4711",
      "Runbook: https://example.org/OomKill",
    ]);
    expect(render("oom.link", [kill(4711)])).toBe("http://db1:10137/kills/4711");
  });

  it("names the pod and its container, if any", () => {
    const pod = { namespace: "shop", pod: "api-1", container: "api", comm: "java", pid: "8" };
    expect(render("oom.title", [alert("OomKill", pod)])).toBe(
      "OOM db1:10137: java killed in shop/api-1/api",
    );
  });

  it("lists the worst first in a storm, ten victims, and the number of the rest", () => {
    const kills = Array.from({ length: 60 }, (_, index) => kill(index + 1));
    const alerts = [...kills, alert("OomKillStorm"), alert("OomHostExhausted")];
    expect(render("oom.title", alerts)).toBe(
      "OOM db1:10137: host out of memory, 60 processes killed",
    );
    const lines = render("oom.text", alerts).split("\n");
    const summaries = lines.filter((line) => line.startsWith("Summary of "));
    expect(summaries).toEqual([
      "Summary of OomHostExhausted.",
      "Summary of OomKillStorm.",
      "Summary of OomKill.",
    ]);
    expect(lines.filter((line) => line.startsWith("- "))).toEqual([
      ...kills.slice(1, 10).map(({ labels }) => {
        return `- postgres (${labels.pid}) in postgresql.service, cgroup_limit`;
      }),
      "- and 50 more",
    ]);
  });

  it("names the workload of the only alert, and none of several", () => {
    const pod = { namespace: "shop", pod: "api-1", container: "api", cgroup: "/kubepods/x" };
    const growing = alert("OomCgroupRunningOut", pod);
    expect(render("oom.title", [growing])).toBe(
      "OOM db1:10137: shop/api-1/api: Summary of OomCgroupRunningOut.",
    );
    expect(render("oom.title", [growing, alert("OomSilentKill", { unit: "web.service" })])).toBe(
      "OOM db1:10137: Summary of OomCgroupRunningOut. (2 alerts)",
    );
  });

  it("reports a condition, and its end", () => {
    expect(render("oom.title", [alert("OomHostThrashing")])).toBe(
      "OOM db1:10137: Summary of OomHostThrashing.",
    );
    expect(render("oom.link", [alert("OomHostThrashing")])).toBe(
      "https://example.org/OomHostThrashing",
    );
    const over = alert("OomHostThrashing", {}, "resolved");
    expect(render("oom.title", [over])).toBe("OOM db1:10137: resolved: OomHostThrashing");
    expect(render("oom.text", [over])).toBe("Resolved: Summary of OomHostThrashing.");
  });
});
