/** The explanation of a kill for a terminal: the answer first, the numbers after. */
import { readAdvice } from "../kills/advice.ts";
import { type Kill, taskBytes } from "../kills/kill.ts";
import { unitForPeople } from "../kills/owner.ts";
import { processName } from "../kills/process-name.ts";
import { printable } from "../text/printable.ts";
import { bytes, percent } from "../text/quantities.ts";
import { type Column, table } from "../text/table.ts";
import { wrap } from "../text/wrapping.ts";
import type { Style } from "./terminal.ts";

const labelWidth = 9;
const indent = " ".repeat(2 + labelWidth);

/** What is known of a kill besides its own report. */
interface Beside {
  /** What another killer did to the same process, in one sentence. */
  linked?: string;
  /** The other kills that this explanation is for, in one sentence. */
  group?: string;
  storm?: string;
}

/** One kill on several lines. */
export function killStory(kill: Kill, style: Style, { linked, group, storm }: Beside = {}): string {
  const lines = [
    ...headline(kill, style),
    ...field("Why", printable(kill.summary), style),
    ...optional("Storm", storm, style),
    ...optional("Group", group, style),
    ...optional("Also", linked, style),
    ...where(kill, style),
    ...advice(kill, style),
    ...numbers(kill, style),
    ...tasks(kill, style),
  ];
  return `${lines.join("\n")}\n`;
}

function optional(label: string, text: string | undefined, style: Style): string[] {
  return text === undefined ? [] : field(label, printable(text), style);
}

function headline(kill: Kill, style: Style): string[] {
  const name = printable(processName({ comm: kill.comm }));
  const said = `${style.alarm(name)} ${style.bold(`(pid ${kill.pid}) was killed`)}${whenOf(kill)}`;
  return wrap(`${said} ${style.quiet(placeOf(kill.source))}`, style.width);
}

/** Where it stands in the log: `[kern.log:71]`. */
export function placeOf({ name, line }: Kill["source"]): string {
  return `[${printable(sourceName(name))}${line === null ? "" : `:${line}`}]`;
}

/** How people call a source. */
export function sourceName(name: string): string {
  if (name === "") return '""';
  return name === "-" ? "standard input" : name;
}

export function whenOf({ time, uptimeSeconds }: Pick<Kill, "time" | "uptimeSeconds">): string {
  if (time !== null) return ` at ${time.replace("T", " ").replace(/\.\d+Z$/, " UTC")}`;
  return uptimeSeconds === null ? "" : ` ${uptimeSeconds.toFixed(1)} s after boot`;
}

export function where(
  kill: Pick<Kill, "owner" | "cgroup" | "limitCgroup" | "group">,
  style: Style,
): string[] {
  const { owner, cgroup, limitCgroup, group } = kill;
  const names = [
    owner.namespace === null ? undefined : `namespace ${owner.namespace}`,
    owner.pod === null ? undefined : `pod ${owner.pod}`,
    owner.container === null ? undefined : `container ${owner.container}`,
    owner.containerId === null
      ? undefined
      : `${owner.runtime ?? "container"} ${owner.containerId.slice(0, 12)}`,
    owner.unit === null ? undefined : `unit ${unitForPeople(owner, cgroup)}`,
  ].filter((name) => name !== undefined);
  if (cgroup !== null) names.push(`cgroup ${cgroup}`);
  if (limitCgroup !== null && limitCgroup !== cgroup) names.push(`limit of ${limitCgroup}`);
  if (group !== null) names.push(`killed as a group: ${group}`);
  return names.length === 0 ? [] : field("Where", printable(names.join(", ")), style);
}

export function advice(kill: Pick<Kill, "advice">, style: Style): string[] {
  return kill.advice.flatMap((line, index) => {
    const { text, command } = readAdvice(line);
    const said = field(index === 0 ? "Do" : "", `- ${printable(text)}`, style, 2);
    // A command is never wrapped nor shortened, so that it can be copied.
    return command === undefined ? said : [...said, `${indent}    ${printable(command)}`];
  });
}

function numbers(kill: Kill, style: Style): string[] {
  const { memory, trigger } = kill;
  const size = (value: number | null, name: string): string | undefined =>
    value === null ? undefined : `${bytes(value)} ${name}`;
  const held = [
    size(memory.anonRssBytes, "anonymous"),
    size(memory.fileRssBytes, "of files"),
    size(memory.shmemRssBytes, "shared"),
    size(memory.pageTablesBytes, "page tables"),
    size(memory.totalVmBytes, "virtual"),
  ].filter((part) => part !== undefined);
  const lines = held.length === 0 ? [] : field("Held", held.join(", "), style);

  const victim = [
    kill.uid === null ? undefined : `uid ${kill.uid}`,
    kill.oomScoreAdj === null ? undefined : `oom_score_adj ${kill.oomScoreAdj}`,
    `constraint ${kill.constraint}`,
    kill.limitBytes === null ? undefined : `limit ${bytes(kill.limitBytes)}`,
    kill.usageBytes === null ? undefined : `in use ${bytes(kill.usageBytes)}`,
    kill.swapFreeBytes === null ? undefined : `${bytes(kill.swapFreeBytes)} of swap free`,
  ].filter((part) => part !== undefined);
  lines.push(...field("Facts", victim.join(", "), style));

  if (trigger !== null) {
    const pid = trigger.pid === null ? "" : ` (pid ${trigger.pid})`;
    const order = trigger.order === null ? "" : `, order ${trigger.order}`;
    const mask = trigger.gfpMask === null ? "" : `, ${trigger.gfpMask}`;
    lines.push(
      ...field(
        "Trigger",
        printable(
          `${trigger.comm === "" ? "a task" : trigger.comm}${pid} asked for memory${order}${mask}`,
        ),
        style,
      ),
    );
  }
  if (kill.suppressed) {
    lines.push(...field("Missing", "the log has no report of this kill", style));
  }
  return lines;
}

function tasks(kill: Kill, style: Style): string[] {
  if (kill.tasks.length === 0) return [];
  const whole = kill.tasks.reduce((sum, task) => sum + taskBytes(task), 0);
  const rows = kill.tasks.map((task) => [
    task.pid === kill.pid ? "->" : "",
    bytes(task.rssBytes ?? 0),
    task.swapBytes === null ? "-" : bytes(task.swapBytes),
    percent(taskBytes(task), whole).replace("under ", "< "),
    task.oomScoreAdj === null ? "-" : String(task.oomScoreAdj),
    String(task.pid),
    printable(task.comm),
  ]);
  const lines = table(taskColumns, rows, style.width - indent.length);
  return lines.map((line, index) => {
    const text = `  ${(index === 0 ? "Tasks" : "").padEnd(labelWidth)}${line}`;
    return index === 0 ? style.quiet(text) : text;
  });
}

/** An arrow points to the victim. */
const taskColumns: Column[] = [
  { head: "" },
  { head: "rss", align: "right" },
  { head: "swap", align: "right" },
  { head: "share", align: "right" },
  { head: "adj", align: "right" },
  { head: "pid", align: "right" },
  { head: "task", least: 8 },
];

export function field(label: string, text: string, style: Style, hang = 0): string[] {
  return wrap(text, style.width - indent.length, hang).map((line, index) =>
    index === 0 ? `  ${style.quiet(label.padEnd(labelWidth))}${line}` : `${indent}${line}`,
  );
}
