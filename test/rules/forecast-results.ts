import type { Minute } from "./back-test.ts";
import type { RecordedSeries } from "./recorded-series.ts";
import { judge, type Worth } from "./verdict.ts";

export interface BackTested {
  series: RecordedSeries;
  minutes: readonly Minute[];
}

/** The alerts of the table's columns: a cgroup's, and a host's in the same place. */
const alerts = {
  ticket: ["OomCgroupRunningOut warning", "OomHostMemoryRunningOut warning"],
  page: ["OomCgroupRunningOut critical", "OomHostMemoryRunningOut critical"],
  nearLimit: ["OomCgroupNearLimit warning", "OomHostMemoryLow critical"],
};

/** The back-test as a table in Markdown, one series a line; times are minutes. */
export function resultsTable(results: readonly BackTested[]): string {
  const lines = results.map(({ series, minutes }) => {
    const verdict = judge(series, minutes);
    const [ticket, page, nearLimit] = Object.values(alerts).map((names) =>
      names.map((name) => verdict.alerts[name]).find((worth) => worth !== undefined),
    );
    return [
      `\`${series.name}\``,
      series.what,
      series.killedAtSeconds.map(inMinutes).join(", ") || "-",
      early(ticket, series),
      early(page, series),
      inMinutes(verdict.missSeconds.rules),
      early(nearLimit, series),
      early(verdict.page, series),
      inMinutes(verdict.missSeconds.page),
    ];
  });
  return [
    ["Series", "What it is", "Killed", "Ticket", "Page", "Off", "Near limit", "Own page", "Off"],
    ["---", "---", "---", "---", "---", "---", "---", "---", "---"],
    ...lines,
  ]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

function early(worth: Worth | undefined, { killedAtSeconds, runsOut }: RecordedSeries): string {
  if (worth === undefined || worth.minutes === 0) return "-";
  if (worth.falseMinutes > 0) return `false, ${worth.falseMinutes} min`;
  if (runsOut && killedAtSeconds.length === 0) return "yes";
  return worth.leadSeconds.map(inMinutes).join(", ");
}

function inMinutes(seconds: number | undefined): string {
  return seconds === undefined ? "-" : `${Math.round(seconds / 60)}`;
}

const panel = { width: 232, height: 104, columns: 4, left: 8, top: 22, plot: [216, 68] } as const;
const colours = {
  ticket: "#f2c14e",
  page: "#d1495b",
  use: "#2b4c7e",
  cached: "#c2c2c2",
  kill: "#1a1a1a",
};

/** The recordings as small pictures: use as a share of the limit, alerts below it, kills across. */
export function resultsPicture(results: readonly BackTested[]): string {
  const longest = Math.max(...results.map(({ series }) => series.seconds.at(-1) ?? 0));
  const rows = Math.ceil(results.length / panel.columns);
  const panels = results.map(({ series, minutes }, index) => {
    const x = panel.width * (index % panel.columns) + panel.left;
    const y = panel.height * Math.floor(index / panel.columns) + panel.top;
    return `<g transform="translate(${x} ${y})">${picture(series, minutes, longest)}</g>`;
  });
  const size = `width="${panel.width * panel.columns}" height="${panel.height * rows}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="11">`,
    `<title>Recorded series, with the forecasts and the kills</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    ...panels,
    "</svg>\n",
  ].join("\n");
}

function picture(series: RecordedSeries, minutes: readonly Minute[], longest: number): string {
  const [width, height] = panel.plot;
  const x = (seconds: number): string => ((width * seconds) / longest).toFixed(1);
  const y = (share: number): string => (height * (1 - share)).toFixed(1);
  const line = (share: (index: number) => number, stroke: string): string => {
    const points = series.seconds
      .map((seconds, index) => `${x(seconds)},${y(share(index))}`)
      .filter((point, index) => index % 2 === 0 && !point.includes("NaN"));
    return `<polyline points="${points.join(" ")}" fill="none" stroke="${stroke}" stroke-width="1.3"/>`;
  };
  const band = (names: readonly string[], top: number, fill: string): string =>
    minutes
      .filter(({ firing }) => firing.some((name) => names.includes(name)))
      .map(({ atSeconds }) => `M${x(atSeconds - 60)} ${top}H${x(atSeconds)}`)
      .join("")
      .replace(/^(.+)$/, `<path d="$1" stroke="${fill}" stroke-width="5"/>`);
  const kills = series.killedAtSeconds.map(
    (seconds) => `<path d="M${x(seconds)} -2V${height}" stroke="${colours.kill}"/>`,
  );
  return [
    `<text y="-8">${series.name}</text>`,
    `<rect width="${width}" height="${height}" fill="#f6f6f6"/>`,
    `<path d="M0 ${y(0.5)}H${width}" stroke="#d8d8d8"/>`,
    band(alerts.ticket, 65, colours.ticket),
    band(alerts.page, 59, colours.page),
    line((index) => cachedShare(series, index), colours.cached),
    line((index) => usedShare(series, index), colours.use),
    ...kills,
  ].join("");
}

/** With the page cache, which a host's recording does not have. */
function cachedShare({ limitBytes, columns }: RecordedSeries, index: number): number {
  return (columns.current?.[index] ?? Number.NaN) / (limitBytes ?? Number.NaN);
}

function usedShare({ limitBytes, columns }: RecordedSeries, index: number): number {
  const at = (column: string): number => columns[column]?.[index] ?? Number.NaN;
  if (limitBytes !== undefined) {
    return (at("current") - at("file") + at("shmem")) / limitBytes;
  }
  return 1 - (at("available") + at("swap_free")) / (at("total") + at("swap_total"));
}
