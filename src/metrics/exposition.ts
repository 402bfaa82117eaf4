import { type Gauge, Registry, type RegistryContentType } from "prom-client";
import { catalog, type LabelsOf, type MetricName, metricNames } from "./catalog.ts";

export type ExpositionFormat = "text" | "openmetrics";

export const contentTypes: Record<ExpositionFormat, RegistryContentType> = {
  text: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
};

interface Sample {
  value: number;
  labels: object;
}

/** The samples of one pass, by metric. */
export class Samples {
  readonly #families = new Map<MetricName, Sample[]>();

  add<Name extends MetricName>(metric: Name, value: number, labels: LabelsOf<Name>): void {
    const family = this.#families.get(metric);
    if (family === undefined) {
      this.#families.set(metric, [{ value, labels }]);
    } else {
      family.push({ value, labels });
    }
  }

  addAll(other: Samples): void {
    for (const [metric, samples] of other.#families) {
      const family = this.#families.get(metric);
      this.#families.set(metric, family === undefined ? samples : family.concat(samples));
    }
  }

  of(metric: MetricName): readonly Sample[] | undefined {
    return this.#families.get(metric);
  }
}

/**
 * Prints the samples in the order of the catalog; a metric without samples is left out.
 *
 * The registry lives for this one call: in OpenMetrics mode prom-client strips `_total` from the
 * name of every counter it has seen, and a registry that lived on would print the wrong names in
 * the next text scrape.
 */
export async function renderExposition(
  samples: Samples,
  format: ExpositionFormat,
): Promise<string> {
  const registry = new Registry<RegistryContentType>();
  registry.setContentType(contentTypes[format]);
  let sawNaN = false;
  for (const name of metricNames) {
    const family = samples.of(name);
    if (family === undefined) {
      continue;
    }
    const { type, help } = catalog[name];
    // `sharedLabels` prints like `labels`, but prom-client remembers the printed form by object:
    // the eleven series of one cgroup share one label object and pay for its escaping once.
    const values = family.map(({ value, labels }) => {
      sawNaN ||= Number.isNaN(value);
      return { value, sharedLabels: labels };
    });
    // Of a registered metric `metrics()` uses `get()`, `name` and `type`; a real Gauge would hash
    // the labels of every sample only to give them back.
    const metric = { name: name as string, help, type, values, get: async () => metric };
    registry.registerMetric(metric as unknown as Gauge);
  }
  const text = await registry.metrics();
  // prom-client writes `Nan`, which OpenMetrics does not know. A line break inside a label value is
  // escaped, so this can only be the end of a sample.
  return sawNaN ? text.replaceAll(" Nan\n", " NaN\n") : text;
}
