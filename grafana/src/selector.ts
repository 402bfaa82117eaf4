import type { LabelsOf, MetricName } from "../../src/metrics/catalog.ts";

/** Labels that must have exactly these values; a name or value missing from the catalog does not compile. */
type Matchers<Name extends MetricName> = {
  readonly [Label in keyof LabelsOf<Name>]?: LabelsOf<Name>[Label];
};

const chosenHosts = ['job=~"$job"', 'instance=~"$instance"'];

const chosenWorkload = ["namespace", "pod", "container", "unit", "cgroup"].map(
  (label) => `${label}=~"$${label}"`,
);

/**
 * A metric's series on the hosts selected on the dashboard, as PromQL.
 * Invariant: every selector of a panel comes from here, `workloadSeries` or `targetsUp`, so none can miss the
 * variables `job` and `instance`.
 */
export function series<Name extends MetricName>(name: Name, matchers: Matchers<Name> = {}): string {
  return selector(name, chosenHosts, matchers);
}

/** The same, for the unit, container, pod or cgroup selected on the Workload dashboard. */
export function workloadSeries<Name extends MetricName>(
  name: Name,
  matchers: Matchers<Name> = {},
): string {
  return selector(name, [...chosenHosts, ...chosenWorkload], matchers);
}

/** Prometheus' own `up` of each scrape target, which no exporter can provide. */
export function targetsUp(): string {
  return selector("up", chosenHosts, {});
}

function selector(name: string, chosen: readonly string[], matchers: object): string {
  const exact = Object.entries(matchers).map(([label, value]) => `${label}="${value}"`);
  return `${name}{${[...chosen, ...exact].join(", ")}}`;
}

/** For a counter of seconds the share of time, 0 to 1; else events or bytes per second. */
export function rate(counter: string): string {
  return `rate(${counter}[$__rate_interval])`;
}

/** Events between two points of a graph. Windows overlap slightly, so that no event is missed. */
export function increase(counter: string): string {
  return `increase(${counter}[$__rate_interval])`;
}

/** Events in the dashboard's whole time range, including series that have ended. */
export function increaseOverRange(counter: string): string {
  return `increase(${counter}[$__range])`;
}

/** 0 if the query finds nothing, so that a panel shows "0" instead of "No data". */
export function orZero(query: string): string {
  return `(${query}) or vector(0)`;
}
