/** The explanation of a kill for a terminal: the answer first, the numbers after. */
import { readAdvice } from "../kills/advice.ts";
import type { Kill, KillTask } from "../kills/kill.ts";
import { unitForPeople } from "../kills/owner.ts";
import { printable } from "../text/printable.ts";
import { bytes, percent } from "../text/quantities.ts";
import { wrap } from "../text/wrapping.ts";
import { type Style, width } from "./terminal.ts";

const labelWidth = 9;

/**
 * One kill on several lines of at most 100 columns. `linked`: what another killer did to the same process, in one
 * sentence.
 */
export function killStory(kill: Kill, style: Style, linked?: string): string {
  const lines = [
    ...headline(kill, style),
    ...field("Why", printable(kill.summary), style),
    ...(linked === undefined ? [] : field("Also", printable(linked), style)),
    ...where(kill, style),
    ...advice(kill, style),
    ...numbers(kill, style),
    ...tasks(kill, style),
  ];
  return `${lines.join("\n")}\n`;
}

/** Another victim of the group that was printed right above. */
export function memberLine(kill: Kill, style: Style): string {
  const said = `${headline(kill, style).join(" ")} together with its group`;
  return `${wrap(said, width - 2, 2)
    .map((line) => `  ${line}`)
    .join("\n")}\n`;
}

/** The totals of a log: which names the kernel killed how often. */
export function tally(kills: ReadonlyMap<string, number>, style: Style): string {
  const total = [...kills.values()].reduce((sum, count) => sum + count, 0);
  const most = [...kills].sort((a, b) => b[1] - a[1]).slice(0, 5);
  const names = most.map(([name, count]) => `${printable(name)} ${count}`).join(", ");
  const rest = kills.size > most.length ? `, ${kills.size - most.length} other names` : "";
  return `${wrap(`${style.bold(`${total} kills`)}: ${names}${rest}`, width).join("\n")}\n`;
}

function headline(kill: Kill, style: Style): string[] {
  const name = kill.comm === "" ? "(no name)" : printable(kill.comm);
  const line = kill.source.line === null ? "" : `:${kill.source.line}`;
  const when = whenOf(kill);
  return wrap(
    `${style.alarm(name)} ${style.bold(`(pid ${kill.pid}) was killed`)}${when} ${style.quiet(`[${printable(kill.source.name)}${line}]`)}`,
    width,
  );
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
    // Never wrapped, so that it can be copied.
    if (command !== undefined) said.push(`${" ".repeat(2 + labelWidth)}    ${printable(command)}`);
    return said;
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
        printable(`${trigger.comm}${pid} asked for memory${order}${mask}`),
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
  const held = (task: KillTask): number => (task.rssBytes ?? 0) + (task.swapBytes ?? 0);
  const whole = kill.tasks.reduce((sum, task) => sum + held(task), 0);
  const rows = kill.tasks.map((task) => [
    bytes(task.rssBytes ?? 0),
    task.swapBytes === null ? "-" : bytes(task.swapBytes),
    percent(held(task), whole),
    task.oomScoreAdj === null ? "-" : String(task.oomScoreAdj),
    String(task.pid),
    `${printable(task.comm)}${task.pid === kill.pid ? "  <- killed" : ""}`,
  ]);
  const table = [["rss", "swap", "share", "adj", "pid", "the largest tasks"], ...rows];
  const widths = [10, 10, 10, 6, 8];
  return table.map((cells, index) => {
    const line = cells.map((cell, at) => cell.padStart(widths[at] ?? 0)).join("  ");
    const label = (index === 0 ? "Tasks" : "").padEnd(labelWidth);
    const text = `  ${label}${line.trimEnd()}`;
    return index === 0 ? style.quiet(text) : text;
  });
}

export function field(label: string, text: string, style: Style, hang = 0): string[] {
  const indent = " ".repeat(2 + labelWidth);
  return wrap(text, width - indent.length, hang).map((line, index) =>
    index === 0 ? `  ${style.quiet(label.padEnd(labelWidth))}${line}` : `${indent}${line}`,
  );
}
