import { writeFileSync } from "node:fs";
import { exporter, floors, processExporter, quietLog } from "./contenders.ts";
import type { CostOptions, Result } from "./result.ts";
import { costsAt } from "./scrape.ts";

const scrapes = 10;

interface Curve {
  name: string;
  colour: string;
  /** Processes and CPU milliseconds of a scrape. */
  points: readonly (readonly [number, number])[];
}

const colours = ["#d1495b", "#2b4c7e", "#1a1a1a", "#8d8d8d", "#3b8b5e"];

/** CPU of a scrape against what there is to read, as a table and as a picture. */
export async function curve(options: CostOptions, picture: string): Promise<Result> {
  const flags = [`--kernel-log.file=${quietLog()}`, "--collector.cgroups.max=20000"];
  const peer = await processExporter();
  const contenders = [
    exporter({ command: options.exporter, flags }),
    ...(peer === undefined ? [] : [peer]),
    ...floors,
  ];
  const lines: Record<string, number>[] = [];
  for (const size of options.curveSizes) {
    const costs = await costsAt(size, contenders, scrapes, {
      warmUp: options.warmUp,
    });
    const cpuMs = [...costs].map(([name, cost]) => [`${name}, CPU ms`, cost.cpuMs]);
    lines.push({ ...size, ...Object.fromEntries(cpuMs) });
  }
  const curves = contenders.map(({ name }, at) => ({
    name,
    colour: colours[at % colours.length] as string,
    points: lines.map((line) => [line.processes ?? 0, line[`${name}, CPU ms`] ?? 0] as const),
  }));
  writeFileSync(picture, curvePicture(curves));
  return { title: `CPU of a scrape against processes and cgroups; picture in ${picture}`, lines };
}

const plot = { left: 64, top: 40, width: 470, height: 320 } as const;

/** Both axes logarithmic, so that a cost in proportion to the work is a line at 45 degrees. */
export function curvePicture(curves: readonly Curve[]): string {
  const points = curves.flatMap((curve) => curve.points);
  const x = axis(
    points.map(([processes]) => processes),
    plot.left,
    plot.left + plot.width,
  );
  const y = axis(
    points.map(([, cpuMs]) => cpuMs),
    plot.top + plot.height,
    plot.top,
  );
  const [right, bottom] = [plot.left + plot.width, plot.top + plot.height];
  const text = (atX: number, atY: number, what: string, more = "") =>
    `<text x="${atX.toFixed(1)}" y="${atY.toFixed(1)}"${more}>${what}</text>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="760" height="410" font-family="sans-serif" font-size="12">`,
    "<title>CPU time of a scrape against the number of processes</title>",
    '<rect width="100%" height="100%" fill="#fff"/>',
    text(plot.left, 20, "CPU of a scrape, ms", ' font-weight="bold"'),
    ...y.ticks.map(
      (tick) => `<path d="M${plot.left} ${y.at(tick).toFixed(1)}H${right}" stroke="#e2e2e2"/>`,
    ),
    ...y.ticks.map((tick) =>
      text(plot.left - 8, y.at(tick) + 4, grouped(tick), ' text-anchor="end"'),
    ),
    ...x.ticks.map(
      (tick) => `<path d="M${x.at(tick).toFixed(1)} ${plot.top}V${bottom}" stroke="#e2e2e2"/>`,
    ),
    ...x.ticks.map((tick) => text(x.at(tick), bottom + 18, grouped(tick), ' text-anchor="middle"')),
    text(
      plot.left + plot.width / 2,
      bottom + 38,
      "processes, with a cgroup for every four",
      ' text-anchor="middle"',
    ),
    ...curves.map(({ colour, points }) => {
      const path = points.map(([px, py]) => `${x.at(px).toFixed(1)},${y.at(py).toFixed(1)}`);
      return `<polyline points="${path.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`;
    }),
    ...namesOf(curves, y.at).map(({ name, colour, at }) =>
      text(right + 10, at + 4, name, ` fill="${colour}"`),
    ),
    "</svg>\n",
  ].join("\n");
}

/** Names beside the ends of their lines, moved apart where those meet. */
function namesOf(curves: readonly Curve[], at: (value: number) => number) {
  const names = curves
    .map(({ name, colour, points }) => ({ name, colour, at: at(points.at(-1)?.[1] ?? 1) }))
    .sort((a, b) => a.at - b.at);
  let above = Number.NEGATIVE_INFINITY;
  for (const name of names) {
    name.at = Math.max(name.at, above + 15);
    above = name.at;
  }
  return names;
}

/** A logarithmic axis over whole powers of ten around the values. */
function axis(values: readonly number[], from: number, to: number) {
  const low = Math.floor(Math.log10(Math.min(...values.filter((value) => value > 0))));
  const high = Math.ceil(Math.log10(Math.max(...values)));
  return {
    at: (value: number) =>
      from + ((Math.log10(Math.max(value, 10 ** low)) - low) / (high - low)) * (to - from),
    ticks: Array.from({ length: high - low + 1 }, (_, step) => 10 ** (low + step)),
  };
}

function grouped(value: number): string {
  return value < 1 ? `${value}` : `${value}`.replace(/\B(?=(\d{3})+$)/g, ",");
}
