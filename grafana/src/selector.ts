import type { LabelsOf, MetricName } from "../../src/metrics/catalog.ts";

/** Labels that must have exactly these values; a name or a value that the catalog lacks does not compile. */
type Matchers<Name extends MetricName> = {
  readonly [Label in keyof LabelsOf<Name>]?: LabelsOf<Name>[Label];
};

const chosenHosts = ['job=~"$job"', 'instance=~"$instance"'];

const chosenWorkload = ["namespace", "pod", "container", "unit", "cgroup"].map(
  (label) => `${label}=~"$${label}"`,
);

/**
 * A metric's series on the hosts chosen above the dashboard, as PromQL.
 * Invariant: every selector of a panel is made here or by `workloadSeries` or `targetsUp`, so none can
 * forget the variables `job` and `instance`.
 */
export function series<Name extends MetricName>(name: Name, matchers: Matchers<Name> = {}): string {
  return selector(name, chosenHosts, matchers);
}

/** The same, of the unit, container, pod or cgroup chosen above the Workload dashboard only. */
export function workloadSeries<Name extends MetricName>(
  name: Name,
  matchers: Matchers<Name> = {},
): string {
  return selector(name, [...chosenHosts, ...chosenWorkload], matchers);
}

/** Prometheus's own verdict on each scrape target: the one series that no exporter can give. */
export function targetsUp(): string {
  return selector("up", chosenHosts, {});
}

function selector(name: string, chosen: readonly string[], matchers: object): string {
  const exact = Object.entries(matchers).map(([label, value]) => `${label}="${value}"`);
  return `${name}{${[...chosen, ...exact].join(", ")}}`;
}

/** Share of time, 0 to 1, where the counter counts seconds; else events or bytes a second. */
export function rate(counter: string): string {
  return `rate(${counter}[$__rate_interval])`;
}

/** Events between two points of a graph. The window overlaps its neighbours a little: none falls between. */
export function increase(counter: string): string {
  return `increase(${counter}[$__rate_interval])`;
}

/** Events in all of the dashboard's time range, a series that is gone by now included. */
export function increaseOverRange(counter: string): string {
  return `increase(${counter}[$__range])`;
}

/** 0 where the query finds nothing, so that a panel says "0" and not "No data". */
export function orZero(query: string): string {
  return `(${query}) or vector(0)`;
}
