import { bytes } from "../text/quantities.ts";
import { duration } from "../text/times.ts";
import { type Html, html } from "./html.ts";

export interface ChartPoint {
  atMs: number;
  bytes: number;
}

export interface ChartLine {
  /** CSS class of the line. */
  kind: string;
  /** Name in the accessible description; starts with a capital. */
  name: string;
  /** Ascending in time; points outside the chart are ignored. */
  points: readonly ChartPoint[];
}

export interface Chart {
  fromMs: number;
  toMs: number;
  /** Drawn as a separate line. The chart's scale starts at 0 and ends at the highest of this and the lines. */
  limitBytes: number;
  lines: readonly ChartLine[];
  /** A kill, marked by a line; the words then count from it and not from now. */
  killMs?: number;
}

/** Size of the drawing in its own units; the style sheet stretches it. */
const width = 600;
const height = 100;
/** Space above the limit, so that its line is visible. */
const headroom = 1.06;
/** Without a reading for longer than this, the line has a gap. */
const gapMs = 60_000;

/**
 * Memory over time, as an SVG sized by its style sheet. Time without readings is left blank; a single reading is a
 * dot. The accessible name says the same in words.
 */
export function chart(options: Chart): Html {
  const { fromMs, toMs, limitBytes, lines, killMs } = options;
  const shown = lines.map((line) => ({
    ...line,
    points: line.points.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs),
  }));
  const highest = Math.max(
    limitBytes,
    ...shown.flatMap(({ points }) => points.map((p) => p.bytes)),
  );
  const place: Place = {
    x: (atMs) => Math.round(((atMs - fromMs) / (toMs - fromMs)) * width),
    y: (value) => Math.round((1 - value / (highest * headroom)) * height * 10) / 10,
  };
  const limitY = place.y(limitBytes);
  return html`<svg class="chart" viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label="${chartInWords(options)}">${shown.map(
    ({ kind, points }) =>
      runs(points).map((run) => {
        const line = trace(run, place);
        const [first, last] = [
          place.x((run[0] as ChartPoint).atMs),
          place.x((run.at(-1) as ChartPoint).atMs),
        ];
        return html`<path class="area ${kind}" d="M${first} ${height}L${line}L${last} ${height}Z"/><path class="line ${kind}" d="M${line}${run.length === 1 && "h0"}"/>`;
      }),
  )}<path class="limit" d="M0 ${limitY}H${width}"/>${killMs !== undefined && html`<path class="kill" d="M${place.x(killMs)} 0V${height}"/>`}</svg>`;
}

/** `Held in the last 42 minutes: from 1.2 GiB to 1.8 GiB, lowest 1.1 GiB, highest 1.8 GiB. ...` */
export function chartInWords({ fromMs, toMs, limitBytes, lines, killMs }: Chart): string {
  const sentences = lines.map(({ name, points }) => {
    const shown = points.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs);
    const first = shown[0];
    const last = shown.at(-1);
    if (first === undefined || last === undefined) return `${name}: not watched yet.`;
    const values = shown.map((point) => point.bytes);
    const extremes = `lowest ${bytes(Math.min(...values))}, highest ${bytes(Math.max(...values))}`;
    const unknownMs = gapsOf(shown).reduce((sum, ms) => sum + ms, 0);
    const unknown =
      unknownMs === 0 ? "" : `, not watched for ${duration(unknownMs / 1000)} in between`;
    const watched = duration(((killMs ?? toMs) - first.atMs) / 1000);
    const when = killMs === undefined ? `last ${watched}` : `${watched} before the kill`;
    return `${name} in the ${when}: from ${bytes(first.bytes)} to ${bytes(last.bytes)}, ${extremes}${unknown}.`;
  });
  return [...sentences, `Limit ${bytes(limitBytes)}.`].join(" ");
}

interface Place {
  x: (atMs: number) => number;
  y: (value: number) => number;
}

/** The runs of points between gaps. */
function runs(points: readonly ChartPoint[]): ChartPoint[][] {
  const found: ChartPoint[][] = [];
  let lastMs = Number.NEGATIVE_INFINITY;
  for (const point of points) {
    if (point.atMs - lastMs > gapMs) found.push([]);
    found.at(-1)?.push(point);
    lastMs = point.atMs;
  }
  return found;
}

function gapsOf(points: readonly ChartPoint[]): number[] {
  return points
    .map(({ atMs }, index) => atMs - (points[index - 1]?.atMs ?? atMs))
    .filter((ms) => ms > gapMs);
}

/** The corners of a line; points in the middle of a horizontal stretch are dropped. */
function trace(run: readonly ChartPoint[], { x, y }: Place): string {
  const heights = run.map((point) => y(point.bytes));
  return run
    .map(({ atMs }, index) => `${x(atMs)} ${heights[index]}`)
    .filter(
      (_, index) => heights[index] !== heights[index - 1] || heights[index] !== heights[index + 1],
    )
    .join("L");
}
