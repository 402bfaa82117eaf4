import { isUnkillable } from "../kernel/badness.ts";
import { killTimeMs } from "../killers/linked-kills.ts";
import { documentIn, readAdvice } from "../kills/advice.ts";
import { type Grower, growerName, growthSentence, recordingSentence } from "../kills/before.ts";
import type { Cause } from "../kills/cause.ts";
import { type Constraint, type Kill, taskBytes } from "../kills/kill.ts";
import { loopSentence } from "../kills/kill-loop.ts";
import { outcomeSentence } from "../kills/outcome.ts";
import { processName } from "../kills/process-name.ts";
import { workloadName } from "../kills/workload-name.ts";
import { bytes, percent } from "../text/quantities.ts";
import { duration, utc } from "../text/times.ts";
import { chart } from "./chart.ts";
import { documentAddress, documentName } from "./documents.ts";
import { type Html, html } from "./html.ts";
import { bar, layout, type Site, time } from "./pages.ts";

/** Each cause in words. */
export const causeTitles: Record<Cause, string> = {
  manual: "Requested with SysRq f",
  page_fault: "Memory had not run out",
  cpuset_or_node: "A memory node ran out",
  fragmentation: "Memory was free but fragmented",
  protected_hog: "Exempt processes held most memory",
  kernel_memory: "The kernel itself held most memory",
  unaccounted: "Memory that the kernel does not account for",
  shmem: "Shared memory or tmpfs held most memory",
  many_small: "Many small processes together",
  parent_cgroup_limit: "An ancestor's limit was hit",
  cgroup_limit: "It hit its own limit",
  unknown_limit: "A limit was hit, but the log does not name it",
  swap_exhausted: "Memory and swap ran out",
  memory_hog: "One process held most memory",
  host_exhausted: "The host ran out of memory",
  unknown: "Unknown cause",
};

const scopes: Record<Constraint, string> = {
  none: "The whole host ran out of memory, so the kernel chose among all processes.",
  memcg: "A cgroup reached its limit, so the kernel chose among the processes in it.",
  cpuset:
    "The memory nodes of a cpuset ran out, so the kernel chose among the processes that use them.",
  memory_policy:
    "The memory nodes of a process's own policy ran out, so the kernel chose among the processes that use them.",
  unknown: "The log does not say what ran out.",
};

/**
 * The page of a kernel's kill: what happened, why this process, what was using the memory, what to do.
 * `also`: a card about another killer that had taken the same process.
 */
export function killPage(kill: Kill, site: Site, nowMs: number, also?: Html): Html {
  const name = processName(kill);
  const where = workloadName(kill.owner, kill.cgroup);
  const when = killTimeMs(kill);
  const body = html`
<section class="answer" aria-labelledby="answer">
<h1 id="answer"><span class="alarm">${causeTitles[kill.cause]}:</span> the kernel killed ${name} (pid ${kill.pid})${where !== undefined && html` of ${where}`}</h1>
<p class="detail">${growthSentence(kill)} ${kill.summary}</p>
<p>${when === undefined ? "The log does not say when." : html`${time(when, nowMs)}, at ${utc(when)}`}</p>
</section>
${also}
${adviceCard(kill.advice, site)}
${beforeCard(kill)}
${afterCard(kill)}
${card("Why this process", html`<div class="prose">${reasons(kill).map((line) => html`<p>${line}</p>`)}</div>`)}
${tasksCard(kill)}
${numbersCard(kill)}
${card("Details", factTable(origin(kill)))}`;
  return layout({ title: `${name} was killed`, tone: "alarm", body }, site);
}

/** Nothing where there is no advice. */
export function adviceCard(advice: readonly string[], site: Site): Html | false {
  const items = advice.map((line) => adviceItem(line, site));
  return advice.length > 0 && card("What to do", html`<ul class="advice">${items}</ul>`);
}

/** A command has a line of its own, for copying. */
function adviceItem(line: string, site: Site): Html {
  const found = documentIn(line);
  if (found !== undefined) {
    const { text, document } = found;
    return html`<li>${linked(text)} <a href="${documentAddress(document, site)}">${documentName(document)}</a></li>`;
  }
  const { text, command } = readAdvice(line);
  return html`<li>${linked(text)}${command !== undefined && html`<pre><code>${command}</code></pre>`}</li>`;
}

export function card(title: string, body: Html, aside?: string): Html {
  const id = title.toLowerCase().replaceAll(" ", "-");
  return html`<section class="card" aria-labelledby="${id}"><h2 id="${id}">${title}${aside !== undefined && html` <small>${aside}</small>`}</h2>${body}</section>`;
}

/** For kills without a time: only distances on the chart matter. */
const someTimeMs = 0;

/** The minutes before the kill: the curve up to the limit, and what grew. */
function beforeCard(kill: Kill): Html | false {
  const { before } = kill;
  if (before === null || before.limitUse.length < 2) return false;
  const killMs = killTimeMs(kill) ?? someTimeMs;
  const spanMs = Math.max(...before.limitUse.map(([seconds]) => seconds)) * 1000;
  const points = before.limitUse.map(([seconds, used]) => ({
    atMs: killMs - seconds * 1000,
    bytes: used,
  }));
  const what = kill.constraint === "memcg" ? "Memory below the limit" : "Memory and swap in use";
  const highest = Math.max(...points.map((point) => point.bytes));
  const drawing = chart({
    fromMs: killMs - spanMs,
    // Room for the line that marks the kill.
    toMs: killMs + spanMs / 50,
    limitBytes: before.limitBytes ?? highest,
    lines: [{ kind: "memory", name: what, points }],
    killMs,
  });
  return html`${card(
    "Before the kill",
    html`<figure><figcaption><span>${what}, from ${duration(spanMs / 1000)} before the kill</span><span class="keys" aria-hidden="true"><span>memory</span>${before.limitBytes !== null && html`<span class="limit">${bytes(before.limitBytes)}</span>`}<span class="kill">kill</span></span></figcaption>${drawing}</figure><p class="detail">${recordingSentence(before)}</p>`,
  )}${before.growers.length > 0 && growersCard(before.growers)}`;
}

function growersCard(growers: readonly Grower[]): Html {
  const most = Math.max(...growers.map(({ toBytes }) => toBytes));
  const rows = growers.map((grower) => {
    const { fromBytes, toBytes, seconds, comm, pid } = grower;
    const name = growerName(grower);
    const through = comm !== null && !name.startsWith(comm) && html` ${comm} (pid ${pid})`;
    const grown = Math.max(0, toBytes - fromBytes);
    const parts = [
      { kind: "plain", bytes: fromBytes },
      { kind: "alarm", bytes: grown },
    ];
    return html`<li><div class="row"><span class="what"><b>${name}</b>${through}</span><span class="much">${bytes(fromBytes)} to ${bytes(toBytes)}${seconds >= 1 && ` in ${duration(seconds)}`}</span></div>${bar(parts, most, `grew by ${bytes(grown)}`)}</li>`;
  });
  return card(
    "Who grew",
    html`<ol class="rows">${rows}</ol>`,
    "before the kill, largest growth first",
  );
}

/** Whether the workload survived, and whether it was killed before; nothing if neither is known. */
function afterCard(kill: Kill): Html | false {
  const where = workloadName(kill.owner, kill.cgroup) ?? "its cgroup";
  const lines = [
    outcomeSentence(kill, processName({ comm: kill.comm }), where),
    loopSentence(kill),
  ].filter((line) => line !== undefined);
  return (
    lines.length > 0 &&
    card(
      "After the kill",
      html`<div class="prose">${lines.map((line) => html`<p>${line}</p>`)}</div>`,
    )
  );
}

/** Why the kernel chose this process, one sentence each. */
function reasons(kill: Kill): string[] {
  const { trigger, oomScoreAdj, limitCgroup, limitBytes, group } = kill;
  const lines = [scopeOf(kill)];
  if (limitCgroup !== null) {
    const whose = limitCgroup === kill.cgroup ? "its own cgroup's" : `that of ${limitCgroup}`;
    const limit = limitBytes === null ? "" : `, ${bytes(limitBytes)}`;
    lines.push(`The limit was ${whose}${limit}.`);
  }
  if (trigger !== null) {
    const size = trigger.order === null || trigger.order <= 0 ? "" : ` of 2^${trigger.order} pages`;
    const pid = trigger.pid === null ? "" : ` (pid ${trigger.pid})`;
    lines.push(
      trigger.pid === kill.pid
        ? `Its own allocation${size} triggered the kill.`
        : `An allocation${size} by ${processName(trigger)}${pid} triggered the kill.`,
    );
  }
  lines.push(...rank(kill));
  if (oomScoreAdj !== null && oomScoreAdj !== 0) {
    lines.push(
      oomScoreAdj > 0
        ? `Its oom_score_adj of ${oomScoreAdj} moved it up in the kernel's ranking.`
        : `It was chosen although an oom_score_adj of ${oomScoreAdj} protected it.`,
    );
  }
  if (group !== null) {
    lines.push(`memory.oom.group is set on ${group}, so all of its processes died together.`);
  }
  return lines;
}

function scopeOf({ cause, constraint }: Kill): string {
  if (cause === "manual") return "Memory need not have been short: the kernel was asked to choose.";
  if (cause === "page_fault") {
    return "Memory had not run out: a page fault triggered the kill, and the kernel chose among all processes.";
  }
  return scopes[constraint];
}

/** The rank of the victim among the tasks that the kernel listed. */
function rank({ pid, tasks }: Kill): string[] {
  const bySize = [...tasks].sort((a, b) => taskBytes(b) - taskBytes(a));
  const place = bySize.findIndex((task) => task.pid === pid);
  const largest = bySize[0];
  if (place < 0 || largest === undefined) {
    return [];
  }
  if (place === 0) {
    return ["It used more memory than any other process in the kernel's list."];
  }
  const why = isUnkillable(largest.oomScoreAdj) ? ", which is exempt from kills" : "";
  return [
    `${place} ${place === 1 ? "process" : "processes"} used more memory; the largest was ${processName(largest)} (pid ${largest.pid})${why}, with ${bytes(taskBytes(largest))}.`,
  ];
}

function tasksCard(kill: Kill): Html {
  const tasks = [...kill.tasks].sort((a, b) => taskBytes(b) - taskBytes(a));
  const whole = tasks.reduce((sum, task) => sum + taskBytes(task), 0);
  const largest = tasks[0] === undefined ? 0 : taskBytes(tasks[0]);
  if (tasks.length === 0) {
    const why = kill.suppressed
      ? "The log has no report of this kill. The kill and the victim's memory are certain; what else was using memory is unknown."
      : "The log does not list the processes.";
    return card(
      "What was using the memory",
      html`<p${kill.suppressed && html` class="quiet"`}>${why}</p>`,
    );
  }
  const rows = tasks.map((task) => {
    const held = taskBytes(task);
    const isVictim = task.pid === kill.pid;
    return html`<li><div class="row"><span class="what"><b>${processName(task)}</b> pid ${task.pid}${isVictim && html` <span class="tag alarm">killed</span>`}${isUnkillable(task.oomScoreAdj) && html` <span class="tag warning">exempt</span>`}</span><span class="much">${bytes(held)}, ${percent(held, whole)}</span></div>${bar([{ kind: isVictim ? "alarm" : "plain", bytes: held }], largest, `${percent(held, whole)} of the memory of these processes`)}</li>`;
  });
  return card(
    "What was using the memory",
    html`<ol class="rows">${rows}</ol>`,
    "resident and swapped, largest first",
  );
}

type Fact = [name: string, value: string | number | null];

function numbersCard({ memory, ...kill }: Kill): Html {
  const sizes: [name: string, bytes: number | null][] = [
    ["Its anonymous memory", memory.anonRssBytes],
    ["Its mapped files", memory.fileRssBytes],
    ["Its shared memory", memory.shmemRssBytes],
    ["Its page tables", memory.pageTablesBytes],
    ["Its address space", memory.totalVmBytes],
    ["The limit", kill.limitBytes],
    ["In use under the limit", kill.usageBytes],
    ["Free swap", kill.swapFreeBytes],
  ];
  const known = sizes.flatMap(([name, size]) => (size === null ? [] : [{ name, size }]));
  return card(
    "The numbers",
    known.length === 0
      ? html`<p>The log contains none.</p>`
      : html`<dl class="tiles">${known.map(({ name, size }) => html`<div><dt>${name}</dt><dd>${bytes(size)}</dd></div>`)}</dl>`,
    "at the time of the kill",
  );
}

const basisText = { read: "named by the kernel", concluded: "concluded from the report" };

function origin(kill: Kill): Fact[] {
  const { owner, source, trigger } = kill;
  return [
    ["Incident", kill.incident],
    ["Constraint", kill.constraint],
    ["Program", kill.program],
    ["Cause", kill.cause],
    ["Cause was", kill.causeBasis && basisText[kill.causeBasis]],
    ["Cgroup of the victim", kill.cgroup],
    ["Cgroup of the limit", kill.limitCgroup === kill.cgroup ? "the same" : kill.limitCgroup],
    ["Unit", owner.unit],
    ["Container", owner.container ?? owner.containerId],
    ["Pod", owner.pod ?? owner.podUid],
    ["Namespace", owner.namespace],
    ["Platform", owner.platform],
    ["Task", owner.task],
    ["User id", kill.uid],
    ["Had run for", kill.ageSeconds === null ? null : duration(kill.ageSeconds)],
    ["Outcome", kill.outcome],
    ["oom_score_adj", kill.oomScoreAdj],
    ["Allocation flags", trigger?.gfpMask ?? null],
    ["Seconds after boot", kill.uptimeSeconds],
    ["Read from", source.line === null ? source.name : `${source.name}, line ${source.line}`],
  ];
}

/** Facts that the log does not have are left out. */
export function factTable(facts: readonly Fact[]): Html {
  const known = facts.filter(([, value]) => value !== null);
  return html`<table class="facts"><tbody>${known.map(([name, value]) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>`)}</tbody></table>`;
}

/** Text with its web addresses as links. */
function linked(text: string): Html {
  const parts = text.split(/(https?:\/\/[^\s<>"']*[^\s<>"'.,;:)])/);
  return html`${parts.map((part, index) => (index % 2 === 1 ? html`<a href="${part}">${part}</a>` : part))}`;
}
