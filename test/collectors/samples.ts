import type { Collector, CollectorPass } from "../../src/collectors/collector.ts";
import type { Snapshot } from "../../src/sources/snapshot.ts";

/** What a collector adds in one pass, by `name{label=value,...}`; empty labels are left out. */
export function samplesOf(collector: Collector, snapshot: Snapshot): Record<string, number> {
  const samples: Record<string, number> = {};
  const sink: CollectorPass["sink"] = {
    add(metric, value, labels) {
      const shown = Object.entries(labels).filter(([, text]) => text !== "");
      const list = shown.map(([name, text]) => `${name}=${text}`).join();
      const series = list === "" ? metric : `${metric}{${list}}`;
      if (series in samples) throw new Error(`added twice: ${series}`);
      samples[series] = value;
    },
  };
  collector.collect({ snapshot, sink });
  return samples;
}
