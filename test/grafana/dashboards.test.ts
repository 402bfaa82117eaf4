import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { threshold } from "../../grafana/src/threshold.ts";
import {
  type DashboardJson,
  dashboards,
  dataPanels,
  everything,
  type PanelJson,
  queriesOf,
  withVariables,
} from "./dashboards.ts";
import { parsePromql } from "./promql.ts";

/** Units of Grafana that these dashboards use, each from its list of value formats. */
const knownUnits = [
  "none",
  "string",
  "short",
  "percentunit",
  "bytes",
  "binBps",
  "s",
  "ops",
  "dateTimeFromNow",
];

// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own variable
const chosen = "${datasource}";

/** The variables unchanged, to check the matchers; only durations must be filled in to parse. */
const unresolved = {
  ...Object.fromEntries(Object.keys(everything).map((name) => [name, `$${name}`])),
  __rate_interval: "61s",
  __range: "62s",
};

function parsed({ expr }: { expr: string }) {
  return parsePromql(withVariables(expr, unresolved));
}

function variable({ templating }: DashboardJson, name: string) {
  return templating.list.find((candidate) => candidate.name === name);
}

describe.each(dashboards)(
  "the dashboard $name, by the rules of grafana's dashboard-linter",
  ({ json }) => {
    const panels = dataPanels(json);
    const queries = queriesOf(json);

    it("has one data source variable, named and labelled as the linter wants (template-datasource-rule)", () => {
      const sources = json.templating.list.filter(({ type }) => type === "datasource");
      expect(sources).toMatchObject([
        { name: "datasource", label: "Data source", query: "prometheus" },
      ]);
    });

    it.each([
      ["job", "Job"],
      ["instance", "Instance"],
    ])("has the variable %s (template-job-rule, template-instance-rule)", (name, label) => {
      expect(variable(json, name)).toMatchObject({
        type: "query",
        label,
        multi: true,
        allValue: ".+",
        datasource: { uid: chosen },
      });
    });

    it("queries variables with valid PromQL, again when the time range changes (template-label-promql-rule, template-on-time-change-reload-rule)", () => {
      const asked = json.templating.list.filter(({ type }) => type === "query");
      expect(asked.length).toBeGreaterThanOrEqual(2);
      for (const { name, query, refresh } of asked) {
        expect(refresh, name).toBe(2);
        const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(query ?? "") ?? [];
        expect(label, name).toBe(name);
        expect(parsePromql(selector ?? "").errors, name).toEqual([]);
      }
    });

    it("uses the chosen data source in every panel, query and annotation (panel-datasource-rule)", () => {
      for (const { title, datasource, targets = [] } of panels) {
        expect(datasource, title).toEqual({ type: "prometheus", uid: chosen });
        for (const target of targets) expect(target.datasource, title).toEqual(datasource);
      }
      for (const { name, datasource } of json.annotations.list) {
        expect(datasource?.uid, name).toBe(chosen);
      }
    });

    it("gives every panel a title and a description that says how to read it (panel-title-description-rule)", () => {
      for (const { title, description } of panels) {
        expect(title).not.toBe("");
        expect(description?.length, title).toBeGreaterThan(80);
        expect(description, title).toMatch(/[.!?)]$/);
      }
      expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
    });

    it("gives every panel and column a unit that Grafana knows (panel-units-rule)", () => {
      for (const { title, fieldConfig } of panels) {
        expect(knownUnits, title).toContain(fieldConfig?.defaults.unit);
        const units = fieldConfig?.overrides
          .flatMap(({ properties }) => properties)
          .filter(({ id }) => id === "unit");
        for (const { value } of units ?? []) expect(knownUnits, title).toContain(value);
      }
    });

    it("has queries in every panel, with distinct letters (panel-no-targets-rule)", () => {
      for (const { title, targets = [] } of panels) {
        expect(targets, title).not.toEqual([]);
        expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(targets.length);
      }
    });

    it.each(queries)("has valid PromQL in $where (target-promql-rule)", (query) => {
      const { errors, selectors } = parsed(query);
      expect(errors).toEqual([]);
      expect(selectors).not.toEqual([]);
    });

    it.each(queries)(
      "asks for the chosen jobs and instances only in $where (target-job-rule, target-instance-rule)",
      (query) => {
        for (const { metric, matchers } of parsed(query).selectors) {
          for (const label of ["job", "instance"]) {
            expect(
              matchers.filter((matcher) => matcher.label === label),
              metric,
            ).toEqual([{ label, operator: "=~", value: `$${label}` }]);
          }
        }
      },
    );

    it.each(queries)(
      "uses the rate or increase of every counter in $where (target-counter-agg-rule)",
      (query) => {
        for (const { metric, functions } of parsed(query).selectors) {
          const isCounter = metric.endsWith("_total");
          expect(["rate", "irate", "increase"].includes(functions[0] ?? ""), metric).toBe(
            isCounter,
          );
        }
      },
    );

    it.each(queries)(
      "uses only $__rate_interval for rates in $where (target-rate-interval-rule)",
      (query) => {
        for (const { metric, functions, range } of parsed(query).selectors) {
          if (functions[0] === "rate" || functions[0] === "irate")
            expect(range, metric).toBe("61s");
          if (functions[0] === "increase") expect(["61s", "62s"], metric).toContain(range);
        }
      },
    );

    it("leaves it to the user whether to edit it", () => {
      expect(json.editable).toBe(true);
    });
  },
);

describe.each(dashboards)("the dashboard $name", ({ name, json }) => {
  const panels = dataPanels(json);

  it("keeps its address, and is found by its tag", () => {
    expect(json.uid).toBe(`oom-${name}`);
    expect(json.tags).toEqual(["oom-exporter"]);
  });

  it("is small enough to read: 16 panels at most, the answers first", () => {
    expect(panels.length).toBeLessThanOrEqual(16);
    expect(panels.slice(0, 6).map(({ type }) => type)).toEqual(Array(6).fill("stat"));
    expect(json.panels[0]?.type).toBe("row");
  });

  it("lays its panels out in full rows without a gap or an overlap", () => {
    const taken = new Map<string, string>();
    let cells = 0;
    for (const { title, gridPos } of json.panels) {
      const { x, y, w, h } = gridPos;
      expect(x + w, title).toBeLessThanOrEqual(24);
      for (let column = x; column < x + w; column++) {
        for (let line = y; line < y + h; line++) {
          const cell = `${column},${line}`;
          expect(taken.get(cell), `${title} lies on another panel at ${cell}`).toBeUndefined();
          taken.set(cell, title);
          cells++;
        }
      }
    }
    const height = Math.max(...json.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
    expect(cells).toBe(24 * height);
  });

  it("numbers its panels, each once", () => {
    const ids = json.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toBeGreaterThan(0);
  });

  it("names every line and shows all of them under the pointer", () => {
    for (const { title, options, targets = [] } of panels.filter(isA("timeseries"))) {
      expect(options?.legend?.showLegend, title).toBe(true);
      expect(options?.tooltip, title).toMatchObject({ mode: "multi", sort: "desc" });
      for (const { legendFormat, range } of targets) {
        expect(legendFormat, title).toBeTruthy();
        expect(range, title).toBe(true);
      }
    }
  });

  it("queries tables and numbers at one moment, and explains missing data", () => {
    for (const { title, type, targets = [], fieldConfig } of panels) {
      if (type === "timeseries") continue;
      for (const { instant, format } of targets) {
        expect(instant, title).toBe(true);
        if (type === "table") expect(format, title).toBe("table");
      }
      const alwaysAnswers = targets.every(({ expr }) => expr.endsWith("or vector(0)"));
      if (!alwaysAnswers) expect(fieldConfig?.defaults.noValue, title).toBeTruthy();
    }
  });

  it("shows only table columns that its queries return", () => {
    for (const { title, targets = [], transformations, fieldConfig } of panels.filter(
      isA("table"),
    )) {
      const shown =
        transformations?.find(({ id }) => id === "filterFieldsByName")?.options.include?.names ??
        [];
      const values = shown.filter((field) => field.startsWith("Value"));
      const all = targets.length === 1 ? ["Value"] : targets.map(({ refId }) => `Value #${refId}`);
      expect(all, title).toEqual(expect.arrayContaining(values));
      expect(
        fieldConfig?.overrides.map(({ matcher }) => matcher.options),
        title,
      ).toEqual(shown);
    }
  });

  it("leads to the other two, with the data source, the job and the time range kept", () => {
    const others = dashboards.map((other) => other.json.uid).filter((uid) => uid !== json.uid);
    expect(json.links.map(({ url }) => /^\/d\/([\w-]+)\?/.exec(url)?.[1])).toEqual(others);
    for (const link of json.links)
      expect(link, "is seen, not in a menu").not.toHaveProperty("placement");
    for (const { url } of linksOf(panels)) {
      if (!url.startsWith("/d/")) continue;
      expect(url).toMatch(
        /^\/d\/oom-(host|workload)\?\$\{datasource:queryparam\}&\$\{job:queryparam\}&.*&\$\{__url_time_range\}$/,
      );
    }
  });

  it("links rows by fields that the row shows, to variables that the other dashboard has", () => {
    for (const panel of panels.filter(isA("table"))) {
      const shown =
        panel.transformations?.find(({ id }) => id === "filterFieldsByName")?.options.include
          ?.names ?? [];
      for (const { url } of linksOf([panel])) {
        for (const [, field] of url.matchAll(/\$\{__data\.fields\.(\w+)/g)) {
          expect(shown, `${panel.title}: ${url}`).toContain(field);
        }
        const target = dashboards.find((other) => url.startsWith(`/d/${other.json.uid}?`));
        for (const [, name] of url.matchAll(/&var-(\w+)=/g)) {
          expect(target && variable(target.json, name as string), url).toBeDefined();
        }
      }
    }
  });

  it("links each kill to its explanation", () => {
    const kills = panels.find(({ title }) => /latest kills/i.test(title));
    expect(linksOf(kills ? [kills] : []).map(({ url }) => url)).toContain(
      // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own variable
      "${__data.fields.story:raw}",
    );
    const [target] = kills?.targets ?? [];
    expect(target?.expr).toMatch(/^label_join\(.*, "story", "\/kills\/", "url", "incident"\)$/);
    expect(target?.expr).toContain("oom_exporter_web_info");
  });
});

describe("the colours", () => {
  it("change where the alerts begin: at the thresholds of the recording rules", () => {
    const file = fileURLToPath(new URL("../../prometheus-rules/recording.yml", import.meta.url));
    const groups: { rules: { record: string; expr: string }[] }[] = parse(
      readFileSync(file, "utf8"),
    ).groups;
    const ruled = (record: string) => {
      const expr = groups
        .flatMap(({ rules }) => rules)
        .find((rule) => rule.record === record)?.expr;
      const factors = /^vector\((.+)\)$/
        .exec(expr ?? "")?.[1]
        ?.split("*")
        .map(Number);
      return factors?.reduce((product, factor) => product * factor);
    };
    expect(threshold).toEqual({
      hostAvailableLow: ruled("threshold:oom_host_available_low:ratio"),
      hostHeadroomCritical: ruled("threshold:oom_host_headroom_critical:ratio"),
      hostStalled: ruled("threshold:oom_host_stalled:ratio"),
      timeLeftWarning: ruled("threshold:oom_time_left_warning:seconds"),
      timeLeftCritical: ruled("threshold:oom_time_left_critical:seconds"),
      hostForecast: ruled("threshold:oom_host_forecast_warning:ratio"),
      swapFreeLow: ruled("threshold:oom_swap_free_low:ratio"),
      cgroupNearLimit: ruled("threshold:oom_cgroup_near_limit:ratio"),
      cgroupThrottled: ruled("threshold:oom_cgroup_throttled:ratio"),
    });
  });
});

function isA(type: string) {
  return (panel: PanelJson) => panel.type === type;
}

function linksOf(panels: PanelJson[]): { url: string }[] {
  return panels
    .flatMap(({ fieldConfig }) => fieldConfig?.overrides ?? [])
    .flatMap(({ properties }) => properties)
    .filter(({ id }) => id === "links")
    .flatMap(({ value }) => value as { url: string }[]);
}
