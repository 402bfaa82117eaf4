import type { Kill } from "../../src/kills/kill.ts";

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** What the exporter showed at one moment, and what the kernel had counted then. */
export interface Scrape {
  /** Newest first. */
  kills: Kill[];
  /** `oom_kill` of /proc/vmstat. */
  kernelKills: number;
  samples(name: string): Sample[];
  /** The sum over all series; undefined if there are none. */
  sum(name: string): number | undefined;
}

export function scrapeOf(text: { metrics: string; kills: string; vmstat: string }): Scrape {
  const all = text.metrics
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map(sampleOf);
  const samples = (name: string) => all.filter((sample) => sample.name === name);
  return {
    kills: (JSON.parse(text.kills) as { kills: Kill[] }).kills,
    kernelKills: Number(text.vmstat.split(" ")[1]),
    samples,
    sum(name) {
      const found = samples(name);
      if (found.length === 0) return undefined;
      return found.reduce((total, { value }) => total + value, 0);
    },
  };
}

function sampleOf(line: string): Sample {
  const [, name = "", labelText = "", value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  const labels: Record<string, string> = {};
  for (const [, label = "", quoted = ""] of labelText.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
    labels[label] = quoted.replace(/\\(.)/g, (_, char) => (char === "n" ? "\n" : char));
  }
  return { name, labels, value: Number(value) };
}
