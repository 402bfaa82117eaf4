import { createHash } from "node:crypto";
import { type Gauge, Registry, type RegistryContentType } from "prom-client";
import { catalog, type LabelsOf, type MetricName, metricNames } from "./catalog.ts";

export type ExpositionFormat = "text" | "openmetrics";

export const contentTypes: Record<ExpositionFormat, RegistryContentType> = {
  text: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
};

/**
 * Labels as both formats print them, including braces; empty if a metric has none. Built once for series that are
 * scraped repeatedly, such as a cgroup's: escaping the labels of 36,000 samples on each scrape would cost more than
 * reading the cgroups.
 */
export type PrintedLabels = string & { readonly printed: unique symbol };

/**
 * Prints the labels of a catalog entry, in the order of their keys, with backslash, quote and line feed
 * escaped and long values shortened.
 */
export function printLabels(labels: object): PrintedLabels {
  const parts: string[] = [];
  for (const label in labels) {
    const value = labels[label as keyof typeof labels] as string;
    parts.push(parts.length === 0 ? "{" : '",', label, '="', escapeLabel(shortened(value)));
  }
  if (parts.length === 0) return "" as PrintedLabels;
  parts.push('"}');
  return flat(parts) as PrintedLabels;
}

/** The same labels plus one whose value needs no escaping. */
export function withLabel(labels: PrintedLabels, label: string, value: string): PrintedLabels {
  return flat([labels.slice(0, -1), ",", label, '="', value, '"}']) as PrintedLabels;
}

/** One string. V8 keeps a sum of strings as a tree of its parts, which takes several times the memory. */
function flat(parts: readonly string[]): string {
  return parts.join("");
}

const valueBytesAtMost = 256;
/** Two ends, two ellipses of three dots and the hash make 256 bytes. */
const endBytes = 117;

/**
 * A value of more than 256 bytes keeps both ends around 16 hex digits of its SHA-256. Otherwise any user who may create
 * cgroups could make a scrape hundreds of times as long.
 */
function shortened(value: string): string {
  // One UTF-16 unit takes three bytes at most.
  if (value.length * 3 <= valueBytesAtMost) return value;
  if (Buffer.byteLength(value) <= valueBytesAtMost) return value;
  const bytes = Buffer.from(value);
  let headEnd = endBytes;
  while (isContinuation(bytes[headEnd])) headEnd--;
  let tailStart = bytes.length - endBytes;
  while (isContinuation(bytes[tailStart])) tailStart++;
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  return `${bytes.toString("utf8", 0, headEnd)}...${hash}...${bytes.toString("utf8", tailStart)}`;
}

/** Whether this is not the first byte of a UTF-8 character. */
function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

const needsEscape = /[\\"\n]/;

function escapeLabel(value: string): string {
  if (!needsEscape.test(value)) return value;
  return value.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}

interface Family {
  readonly values: number[];
  readonly labels: PrintedLabels[];
}

/** The samples of one pass, by metric. */
export class Samples {
  readonly #families = new Map<MetricName, Family>();

  add<Name extends MetricName>(metric: Name, value: number, labels: LabelsOf<Name>): void {
    this.addPrinted(metric, value, printLabels(labels));
  }

  /** Like `add`, with labels in printed form. */
  addPrinted(metric: MetricName, value: number, labels: PrintedLabels): void {
    let family = this.#families.get(metric);
    if (family === undefined) {
      family = { values: [], labels: [] };
      this.#families.set(metric, family);
    }
    family.values.push(value);
    family.labels.push(labels);
  }

  addAll(other: Samples): void {
    for (const [metric, { values, labels }] of other.#families) {
      const family = this.#families.get(metric);
      if (family === undefined) {
        this.#families.set(metric, { values, labels });
        continue;
      }
      for (let i = 0; i < values.length; i++) {
        family.values.push(values[i] as number);
        family.labels.push(labels[i] as PrintedLabels);
      }
    }
  }

  of(metric: MetricName): Family | undefined {
    return this.#families.get(metric);
  }
}

/** A member of prom-client's registry that its types do not declare: it prints one metric. */
interface MetricPrinter {
  getMetricsAsString(metric: FramedMetric): Promise<string>;
}
const RegistryClass = Registry as unknown as new () => Registry<RegistryContentType> &
  MetricPrinter;

/** Stands for the lines of a family in what prom-client prints. */
const gap = "\0";

/**
 * prom-client frames the families (`# HELP`, `# TYPE`, the end mark); the lines of the samples are put
 * together here. Of 9,000 samples prom-client's own take 18 ms, these one.
 */
class FrameRegistry extends RegistryClass {
  override async getMetricsAsString(metric: FramedMetric): Promise<string> {
    return `${await super.getMetricsAsString(metric)}\n${gap}`;
  }
}

/** What `Registry.metrics()` wants of a metric. */
interface FramedMetric {
  name: string;
  help: string;
  type: string;
  values: [];
  get(): Promise<FramedMetric>;
}

/** The last one of each format: the same metrics have samples in nearly every scrape. */
const frames = new Map<ExpositionFormat, { metrics: string; frame: readonly string[] }>();

/**
 * What stands before, between and after the samples of these metrics.
 *
 * The registry lives for this one call: in OpenMetrics mode prom-client strips `_total` from the name of every counter
 * it has seen, and a registry that lived longer would print wrong names in the next text scrape.
 */
async function printFrame(
  names: readonly MetricName[],
  format: ExpositionFormat,
): Promise<readonly string[]> {
  const registry = new FrameRegistry();
  registry.setContentType(contentTypes[format]);
  for (const name of names) {
    const { type, help } = catalog[name];
    const metric: FramedMetric = { name, help, type, values: [], get: async () => metric };
    registry.registerMetric(metric as unknown as Gauge);
  }
  return (await registry.metrics()).split(gap);
}

/** Prints the samples in the order of the catalog, as UTF-8; a metric without samples is left out. */
export async function renderExposition(
  samples: Samples,
  format: ExpositionFormat,
): Promise<Buffer> {
  const families = familiesOf(samples);
  const frame = await frameOf(families, format);
  return printed(families, frame, Buffer.allocUnsafeSlow(usualBytes)).bytes;
}

/**
 * The same for a use that is over when it resolves: the bytes stand in a buffer that serves the next exposition, too.
 * A new one for each is garbage of many MiB, and V8 is slow to collect it: it sees a small object only.
 */
export async function withExposition<Result>(
  samples: Samples,
  format: ExpositionFormat,
  use: (bytes: Buffer) => Promise<Result>,
): Promise<Result> {
  const families = familiesOf(samples);
  const frame = await frameOf(families, format);
  const text = printed(families, frame, spare ?? Buffer.allocUnsafeSlow(usualBytes));
  spare = undefined;
  try {
    return await use(text.bytes);
  } finally {
    // One that had to grow, or was made for a larger exposition, is left to the collector.
    spare = text.buffer.length <= 1.2 * usualBytes ? text.buffer : undefined;
  }
}

/** The buffer of an earlier exposition, unless it is in use. */
let spare: Buffer | undefined;

type Families = readonly { name: MetricName; family: Family }[];

function familiesOf(samples: Samples): Families {
  return metricNames.flatMap((name) => {
    const family = samples.of(name);
    return family === undefined ? [] : [{ name, family }];
  });
}

async function frameOf(families: Families, format: ExpositionFormat): Promise<readonly string[]> {
  const names = families.map(({ name }) => name);
  const metrics = names.join();
  const last = frames.get(format);
  const frame = last?.metrics === metrics ? last.frame : await printFrame(names, format);
  frames.set(format, { metrics, frame });
  return frame;
}

function printed(families: Families, frame: readonly string[], buffer: Buffer): Utf8Text {
  const text = new Utf8Text(buffer);
  for (const [place, part] of frame.entries()) {
    text.append(part);
    const { name, family } = families[place] ?? {};
    if (name !== undefined && family !== undefined) text.append(linesOf(name, family));
  }
  usualBytes = Math.ceil(text.bytes.length * 1.1);
  return text;
}

function linesOf(name: string, { values, labels }: Family): string {
  let lines = "";
  for (let i = 0; i < values.length; i++) {
    if (i > 0) lines += "\n";
    lines += `${name}${labels[i]} ${printValue(values[i] as number)}`;
  }
  return lines;
}

/** So much was printed last time: a buffer of that size need not grow. */
let usualBytes = 16 * 1024;

/** Text in pieces. As one string, 1.4 MB of it take 25 ms to join and to encode; piece by piece, one. */
class Utf8Text {
  #buffer: Buffer;
  #length = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  append(text: string): void {
    const bytes = text.length * 3 <= this.#left ? 0 : Buffer.byteLength(text);
    if (bytes > this.#left) this.#grow(bytes);
    this.#length += this.#buffer.write(text, this.#length);
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  get buffer(): Buffer {
    return this.#buffer;
  }

  get #left(): number {
    return this.#buffer.length - this.#length;
  }

  #grow(bytes: number): void {
    const larger = Buffer.allocUnsafeSlow(2 * (this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

function printValue(value: number): string {
  if (Number.isFinite(value)) return `${value}`;
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}
