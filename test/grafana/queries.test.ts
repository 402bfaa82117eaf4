import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { debianTool } from "../setup/debian-tools.ts";
import { eventually } from "../setup/exporter-process.ts";
import { needs } from "../setup/needs.ts";
import { dashboards, dataPanels, everything, withVariables } from "./dashboards.ts";
import { failingHosts, type ScrapeTargets } from "./failing-hosts.ts";
import { type PrometheusProcess, type Series, startPrometheus } from "./prometheus.ts";

// The built exporter on two hosts that run out of memory, scraped by a real Prometheus, and every
// question that the dashboards ask of it.

/** Queries that rightly find no number, and why. */
const foundNothing: Record<string, string> = {
  "host: Free swap (A), clicked": "the Kubernetes node has no swap: 0 / 0, shown as 'no swap'",
  "fleet: Killed by other programs (A)": "no failing host runs a daemon that kills",
};

const program = await debianTool("prometheus", "usr/bin/prometheus");
let targets: ScrapeTargets;
let prometheus: PrometheusProcess;
let ticking: NodeJS.Timeout;
/** Prometheus's own time when all was there: seconds since the epoch. */
let now: number;

beforeAll(async () => {
  if (program.path === undefined) return;
  targets = await failingHosts();
  prometheus = await startPrometheus(program.path, targets.addresses);
  ticking = setInterval(() => targets.tick(), 250);
  const settled = (query: string) =>
    eventually(query, async () => (await instant(query, Date.now() / 1000)).length > 0);
  await settled("count(count_over_time(oom_kills_total{constraint='memcg'}[1m]) >= 2) == 2");
  targets.kill();
  await settled("count(increase(oom_kills_total{constraint='memcg'}[1m]) > 0) == 2");
  await settled("count(count_over_time(oom_kill_timestamp_seconds[1m]) >= 2) >= 2");
  now = Date.now() / 1000;
});

afterAll(async () => {
  clearInterval(ticking);
  await prometheus?.end();
  await targets?.end();
});

async function instant(query: string, time: number): Promise<Series[]> {
  const { result } = await prometheus.api<{ result: Series[] }>("query", {
    query,
    time: String(time),
  });
  return result;
}

async function range(query: string): Promise<Series[]> {
  const { result } = await prometheus.api<{ result: Series[] }>("query_range", {
    query,
    start: String(now - 60),
    end: String(now),
    step: "5",
  });
  return result;
}

function expectNumbers(where: string, answer: readonly Series[]): void {
  const reason = foundNothing[where];
  if (reason === undefined) expect(numbers(answer), where).not.toEqual([]);
  else expect(numbers(answer), `${where}: ${reason}`).toEqual([]);
}

function numbers(series: readonly Series[]): number[] {
  return series
    .flatMap(({ value, values = [] }) => (value ? [value, ...values] : values))
    .map(([, text]) => (text === "+Inf" ? Number.POSITIVE_INFINITY : Number(text)))
    .filter((number) => !Number.isNaN(number));
}

needs(describe, program.obstacle).each(dashboards)("the dashboard $name", ({ name, json }) => {
  const queries = dataPanels(json).flatMap(({ title, type, targets = [] }) =>
    targets.map((target) => ({ ...target, type, where: `${name}: ${title} (${target.refId})` })),
  );

  it.each(queries)("gets data for $where", async ({ where, expr, instant: atOnce }) => {
    const query = withVariables(expr, everything);
    expectNumbers(where, atOnce ? await instant(query, now) : await range(query));
  });

  it("returns data for one host and one workload on it, as after a click", async () => {
    const [kill] = await instant('oom_kill_timestamp_seconds{pod!=""}', now);
    const { instance = "", pod = "", container = "" } = kill?.metric ?? {};
    expect([instance, pod, container]).not.toContain("");
    const clicked = { ...everything, instance, pod, container };
    for (const { where, expr, type } of queries) {
      if (type !== "stat") continue;
      expectNumbers(`${where}, clicked`, await instant(withVariables(expr, clicked), now));
    }
  });

  it("counts the kills", async () => {
    const panel = dataPanels(json).find(({ title }) => title === "Kills");
    const query = withVariables(panel?.targets?.[0]?.expr ?? "", everything);
    expect(Math.max(...numbers(await instant(query, now)))).toBeGreaterThanOrEqual(2);
  });

  it("finds values for every variable", async () => {
    for (const variable of json.templating.list.filter(({ type }) => type === "query")) {
      const [, selector = "", label] =
        /^label_values\((.+), (\w+)\)$/.exec(variable.query ?? "") ?? [];
      const values = await prometheus.api<string[]>(`label/${label}/values`, {
        "match[]": withVariables(selector, everything),
        start: String(now - 3600),
        end: String(now),
      });
      expect(
        values.filter((value) => value !== ""),
        variable.name,
      ).not.toEqual([]);
    }
  });

  it("finds the kills that it marks, each at the time of its kill", async () => {
    for (const { expr } of json.annotations.list) {
      const times = numbers(await range(withVariables(expr ?? "", everything)));
      expect(times.length).toBeGreaterThan(0);
      for (const time of times) expect(Math.abs(time / 1000 - now)).toBeLessThan(60);
    }
  });
});
