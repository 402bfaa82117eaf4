import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  BigValueColorMode,
  BigValueGraphMode,
  BigValueTextMode,
  type DataSourceRef,
  GraphDrawStyle,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from "@grafana/grafana-foundation-sdk/common";
import {
  type DynamicConfigValue,
  MappingType,
  type Panel,
  SpecialValueMatch,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder, PromQueryFormat } from "@grafana/grafana-foundation-sdk/prometheus";
import { PanelBuilder as StatBuilder } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as TableBuilder } from "@grafana/grafana-foundation-sdk/table";
import { PanelBuilder as TimeseriesBuilder } from "@grafana/grafana-foundation-sdk/timeseries";

/** The data source chosen above the dashboard. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own variable
export const dataSource: DataSourceRef = { type: "prometheus", uid: "${datasource}" };

export type PanelInRow = Builder<Panel>;

/** Value from which each colour applies; the first colour applies below all of them. */
type Colours = readonly [below: string, ...(readonly [from: number, colour: string])[]];

/** Green: fine, orange: a ticket, red: a page. */
export const redAbove = (limit: number): Colours => ["green", [limit, "red"]];
export const redBelow = (limit: number, orangeBelow: number): Colours => [
  "red",
  [limit, "orange"],
  [orangeBelow, "green"],
];
export const orangeThenRed = (orange: number, red: number): Colours => [
  "green",
  [orange, "orange"],
  [red, "red"],
];
export const noColours: Colours = ["text"];

interface Described {
  title: string;
  /** How to read it, and what to do. */
  description: string;
  /** Columns of Grafana's 24. */
  width: number;
  /** A Grafana unit, such as `bytes` or `percentunit`. */
  unit: string;
}

interface Answer extends Described {
  query: string;
  colours: Colours;
  /** Text if there is no data. */
  empty?: string;
  /** Shows the name of the series instead of a number. */
  legend?: string;
  /** A second number; both then have names. */
  also?: { name: string; query: string; nameOfFirst: string };
}

/** One number, or one name, that answers a question. */
export function answer(panel: Answer): PanelInRow {
  const stat = new StatBuilder()
    .title(panel.title)
    .description(panel.description)
    .datasource(dataSource)
    .span(panel.width)
    .height(4)
    .unit(panel.unit)
    .thresholds(thresholds(panel.colours))
    .colorMode(BigValueColorMode.Background)
    .graphMode(BigValueGraphMode.None)
    .textMode(textModeOf(panel))
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(["lastNotNull"]))
    .withTarget(query("A", panel.query, panel.also?.nameOfFirst ?? panel.legend).instant());
  if (panel.also !== undefined) {
    stat.withTarget(query("B", panel.also.query, panel.also.name).instant());
  }
  if (panel.empty !== undefined) {
    stat.noValue(panel.empty).mappings([
      {
        type: MappingType.SpecialValue,
        options: { match: SpecialValueMatch.NullAndNan, result: { text: panel.empty, index: 0 } },
      },
    ]);
  }
  return stat;
}

function textModeOf({ legend, also }: Answer): BigValueTextMode {
  if (also !== undefined) return BigValueTextMode.ValueAndName;
  return legend === undefined ? BigValueTextMode.Value : BigValueTextMode.Name;
}

interface Line {
  query: string;
  legend: string;
  /** Drawn as a dashed line of this colour, outside the stack. */
  dashed?: string;
}

interface Graph extends Described {
  lines: readonly Line[];
  stacked?: boolean;
  /** For events: one bar per point, at least a minute apart. */
  bars?: boolean;
  max?: number;
  /** A dashed line at the alert's threshold. */
  alertAt?: number;
  /** Units of single lines, by legend. */
  units?: Readonly<Record<string, string>>;
}

/** One or more queries over time. */
export function graph(panel: Graph): PanelInRow {
  const series = new TimeseriesBuilder()
    .title(panel.title)
    .description(panel.description)
    .datasource(dataSource)
    .span(panel.width)
    .height(8)
    .unit(panel.unit)
    .min(0)
    .lineWidth(panel.bars ? 0 : 1)
    .fillOpacity(panel.bars ? 80 : panel.stacked ? 60 : 10)
    .showPoints(VisibilityMode.Never)
    .stacking(
      new StackingConfigBuilder()
        .group("A")
        .mode(panel.stacked || panel.bars ? StackingMode.Normal : StackingMode.None),
    )
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .calcs([]),
    )
    .tooltip(
      new VizTooltipOptionsBuilder()
        .mode(TooltipDisplayMode.Multi)
        .sort(SortOrder.Descending)
        .hideZeros(panel.bars === true),
    )
    .targets(panel.lines.map((line, i) => query(refId(i), line.query, line.legend).range()));
  if (panel.bars) series.drawStyle(GraphDrawStyle.Bars).interval("1m");
  if (panel.max !== undefined) series.max(panel.max);
  if (panel.alertAt !== undefined) {
    series
      .thresholds(thresholds(["transparent", [panel.alertAt, "red"]]))
      .thresholdsStyle(
        new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed),
      );
  }
  for (const [i, line] of panel.lines.entries()) {
    if (line.dashed !== undefined) series.overrideByQuery(refId(i), dashedLine(line.dashed));
  }
  for (const [legend, unit] of Object.entries(panel.units ?? {})) {
    series.overrideByName(legend, [{ id: "unit", value: unit }]);
  }
  return series;
}

function dashedLine(colour: string): DynamicConfigValue[] {
  return [
    { id: "color", value: { mode: "fixed", fixedColor: colour } },
    { id: "custom.lineStyle", value: { fill: "dash", dash: [8, 6] } },
    { id: "custom.lineWidth", value: 2 },
    { id: "custom.fillOpacity", value: 0 },
    { id: "custom.stacking", value: { mode: "none", group: "A" } },
  ];
}

export interface Column {
  /** A label, or the letter of a query for its value. */
  field: string;
  title: string;
  /** In pixels; columns without a width share the rest. */
  width?: number;
  unit?: string;
  colours?: Colours;
  /** May be too long for its column; a click shows the full text. */
  long?: boolean;
  /** Text for a missing or NaN value. */
  empty?: string;
  link?: { title: string; url: string; newTab?: boolean };
}

interface Table extends Described {
  height: number;
  /** All with the same labels; queries are lettered from A. */
  queries: readonly string[];
  columns: readonly Column[];
  sortBy: { title: string; descending: boolean };
  /** Text if there are no rows. */
  empty: string;
}

/** One row per series, worst first. */
export function table(panel: Table): PanelInRow {
  const fields = panel.columns.map(({ field }) => fieldName(field, panel.queries.length));
  const built = new TableBuilder()
    .title(panel.title)
    .description(panel.description)
    .datasource(dataSource)
    .span(panel.width)
    .height(panel.height)
    .unit(panel.unit)
    .noValue(panel.empty)
    .filterable(false)
    .sortBy([{ build: () => ({ displayName: panel.sortBy.title, desc: panel.sortBy.descending }) }])
    .targets(
      panel.queries.map((expr, i) => query(refId(i), expr).instant().format(PromQueryFormat.Table)),
    );
  if (panel.queries.length > 1) built.withTransformation({ id: "merge", options: {} });
  built.withTransformation({ id: "filterFieldsByName", options: { include: { names: fields } } });
  built.withTransformation({
    id: "organize",
    options: {
      excludeByName: {},
      indexByName: Object.fromEntries(fields.map((field, i) => [field, i])),
      renameByName: {},
    },
  });
  for (const [i, column] of panel.columns.entries()) {
    built.overrideByName(fields[i] as string, columnSettings(column));
  }
  return built;
}

function columnSettings(column: Column): DynamicConfigValue[] {
  const settings: DynamicConfigValue[] = [{ id: "displayName", value: column.title }];
  if (column.width !== undefined) settings.push({ id: "custom.width", value: column.width });
  if (column.unit !== undefined) settings.push({ id: "unit", value: column.unit });
  if (column.long) settings.push({ id: "custom.inspect", value: true });
  if (column.colours !== undefined) {
    settings.push(
      { id: "thresholds", value: thresholds(column.colours).build() },
      { id: "custom.cellOptions", value: { type: "color-background", mode: "basic" } },
    );
  }
  if (column.empty !== undefined) {
    settings.push({
      id: "mappings",
      value: [
        {
          type: MappingType.SpecialValue,
          options: {
            match: SpecialValueMatch.NullAndNan,
            result: { text: column.empty, index: 0 },
          },
        },
      ],
    });
  }
  if (column.link !== undefined) {
    const { title, url, newTab } = column.link;
    settings.push({ id: "links", value: [{ title, url, targetBlank: newTab === true }] });
  }
  return settings;
}

/** Grafana calls the value of a table's only query "Value", and those of several "Value #A", "Value #B". */
function fieldName(field: string, queries: number): string {
  if (!/^[A-Z]$/.test(field)) return field;
  return queries === 1 ? "Value" : `Value #${field}`;
}

function thresholds([below, ...steps]: Colours): ThresholdsConfigBuilder {
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps([{ value: null, color: below }, ...steps.map(([value, color]) => ({ value, color }))]);
}

function refId(index: number): string {
  return String.fromCharCode("A".charCodeAt(0) + index);
}

function query(id: string, expr: string, legend = ""): DataqueryBuilder {
  const built = new DataqueryBuilder().refId(id).datasource(dataSource).expr(expr);
  return legend === "" ? built : built.legendFormat(legend);
}
