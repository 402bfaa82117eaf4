import type { Collector, CollectorPass } from "../../src/collectors/collector.ts";
import type { Snapshot } from "../../src/sources/snapshot.ts";

/** What a collector adds in one pass, by `name{label=value,...}`; empty labels are left out. */
export function samplesOf(collector: Collector, snapshot: Snapshot): Record<string, number> {
  const samples: Record<string, number> = {};
  const note = (metric: string, value: number, labels: [name: string, text: string][]) => {
    const shown = labels.filter(([, text]) => text !== "");
    const list = shown.map(([name, text]) => `${name}=${text}`).join();
    const series = list === "" ? metric : `${metric}{${list}}`;
    if (series in samples) throw new Error(`added twice: ${series}`);
    samples[series] = value;
  };
  const sink: CollectorPass["sink"] = {
    add: (metric, value, labels) => note(metric, value, Object.entries(labels)),
    addPrinted: (metric, value, printed) => {
      const labels = [...printed.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
      note(
        metric,
        value,
        labels.map(([, name, text]) => [name as string, text as string]),
      );
    },
  };
  collector.collect({ snapshot, sink });
  return samples;
}
