import type { Kill, Owner } from "../model/kill.ts";
import { bytes, percent } from "../model/quantities.ts";
import type { TimeLeft, UsePoint } from "../model/time-left.ts";
import { type Html, html } from "./html.ts";
import { causeTitles } from "./kill-page.ts";
import { bar, layout, type Site, type Tone, time, workloadName } from "./pages.ts";
import { ago } from "./times.ts";

export interface HostMemoryView {
  totalBytes: number;
  availableBytes: number;
  freeBytes: number;
  /** As `oom_host_memory_used_bytes`: disjoint, adding up to total minus free. */
  used: readonly { kind: string; bytes: number }[];
  swapTotalBytes: number;
  swapFreeBytes: number;
  /** Oldest first; what only a kill or swap takes back, and what is swapped out. */
  lastHour: readonly { atMs: number; usedBytes: number; swapUsedBytes: number }[];
  /** Until memory and swap are used up. */
  timeLeft: TimeLeft;
}

export interface CgroupView {
  cgroup: string;
  owner: Owner;
  /** Memory in use that reclaim would not simply drop: the working set. */
  usedBytes: number;
  /** Of that, what only a kill or swap takes back. */
  unreclaimableBytes: number | undefined;
  limitBytes: number;
  /** The ancestor that sets the limit, where it is not the cgroup's own. */
  limitCgroup: string | undefined;
  /** Oldest first. */
  lastHour: readonly UsePoint[];
  /** Until the limit is reached. */
  timeLeft: TimeLeft;
  /** Whom the kernel would kill at the limit. */
  nextVictim: { pid: number; comm: string } | undefined;
}

export interface VictimView {
  pid: number;
  comm: string;
  cgroup: string | null;
  owner: Owner;
  score: number;
  scoreAdj: number;
  residentBytes: number;
  swapBytes: number;
  /** What it and those that die with it hold, where that is more than its own. */
  freesBytes?: number;
}

export interface LogSourceView {
  /** `file` or `kmsg`. */
  name: string;
  path: string | undefined;
  up: boolean;
  /** Why it is not read, and what to do. */
  reason: string | undefined;
}

/** What the status page shows. Absent = cannot be read here. */
export interface StatusView {
  atMs: number;
  memory: HostMemoryView | undefined;
  /** Those with a limit, the closest to it first. */
  cgroups: readonly CgroupView[];
  /** In the order in which the kernel would choose them if the host ran out. */
  victims: readonly VictimView[];
  unkillable: { count: number; residentBytes: number } | undefined;
  /** Newest first. */
  kills: readonly Kill[];
  /** Kills that the kernel counted and the log did not show. */
  unaccountedKills: number | undefined;
  sources: readonly LogSourceView[];
  /** Collectors that did not work in their last pass, and why. */
  troubles: readonly { collector: string; reason: string }[];
}

interface Finding {
  tag: string;
  tone: Tone;
  text: string;
  detail?: string;
  /** The kill that the finding is about. */
  kill?: Kill;
}

/** A kill is news for this long. */
const recentMs = 3_600_000;
const shownKills = 10;
const shownVictims = 5;
const shownCgroups = 8;

/** `/`: the answer in one sentence, then what it rests on. */
export function statusPage(view: StatusView, site: Site): Html {
  const [answer, ...others] = findings(view);
  const { tag, tone, text, detail, kill } = answer ?? healthy(view);
  const body = html`
<section class="answer">
<span class="tag ${tone}">${tag}</span>
<h1>${text}</h1>
${detail !== undefined && html`<p>${detail}</p>`}
${kill !== undefined && html`<p><a href="${killPath(kill, site)}">Why, and what to do</a></p>`}
${others.map((finding) => html`<p class="finding">${finding.text}</p>`)}
</section>
<div class="cards">
${memoryCard(view)}
${victimsCard(view)}
${cgroupsCard(view)}
${killsCard(view, site)}
${watchCard(view)}
</div>`;
  return layout({ title: text, tone, body }, site);
}

/** What is wrong, the most urgent first; nothing where all is well. */
export function findings(view: StatusView): Finding[] {
  const found = [
    recentKill(view),
    hostShortage(view),
    cgroupShortage(view),
    blindness(view),
    unaccounted(view),
  ];
  return found.filter((finding) => finding !== undefined);
}

function recentKill({ kills, atMs }: StatusView): Finding | undefined {
  const kill = kills[0];
  const when = kill === undefined ? undefined : killTimeMs(kill);
  if (kill === undefined || when === undefined || atMs - when > recentMs) {
    return undefined;
  }
  const recent = kills.filter((other) => atMs - (killTimeMs(other) ?? 0) <= recentMs).length;
  const more = recent > 1 ? `, the last of ${recent} kills within an hour` : "";
  return {
    tag: "Out of memory",
    tone: "alarm",
    text: `The kernel killed ${kill.comm} (pid ${kill.pid}) ${ago(when, atMs)}${more}.`,
    detail: kill.summary,
    kill,
  };
}

function hostShortage({ memory, victims }: StatusView): Finding | undefined {
  if (memory === undefined || memory.availableBytes >= memory.totalBytes * 0.1) {
    return undefined;
  }
  const left = `${bytes(memory.availableBytes)} of ${bytes(memory.totalBytes)} memory is left`;
  const swapIsLeft = memory.swapFreeBytes > memory.swapTotalBytes * 0.1;
  if (swapIsLeft) {
    return {
      tag: "Short of memory",
      tone: "warning",
      text: `The host is short of memory: ${left}, and ${bytes(memory.swapFreeBytes)} of swap.`,
    };
  }
  const swap = memory.swapTotalBytes > 0 ? "hardly any swap" : "no swap";
  const first = victims[0];
  return {
    tag: "Running out",
    tone: "alarm",
    text: `The host is about to run out: ${left} and ${swap}.`,
    detail:
      first &&
      `The kernel would kill ${first.comm} (pid ${first.pid}) first, which holds ${bytes(first.residentBytes + first.swapBytes)}.`,
  };
}

function cgroupShortage({ cgroups }: StatusView): Finding | undefined {
  const tight = cgroups.filter((cgroup) => cgroupTone(cgroup) !== "calm");
  const nearest = tight[0];
  if (nearest === undefined) {
    return undefined;
  }
  const more = tight.length - 1;
  const others = more > 0 ? ` ${more} more ${more === 1 ? "is" : "are"} close to theirs.` : "";
  return {
    tag: "Close to a limit",
    tone: cgroupTone(nearest),
    text: `${workloadName(nearest.owner, nearest.cgroup)} is at ${percent(nearest.usedBytes, nearest.limitBytes)} of its limit of ${bytes(nearest.limitBytes)}.${others}`,
  };
}

function cgroupTone({ usedBytes, limitBytes }: CgroupView): Tone {
  if (usedBytes >= limitBytes * 0.95) {
    return "alarm";
  }
  return usedBytes >= limitBytes * 0.85 ? "warning" : "calm";
}

function blindness({ sources }: StatusView): Finding | undefined {
  if (sources.some((source) => source.up)) {
    return undefined;
  }
  const why = sources.find(({ reason }) => reason !== undefined)?.reason;
  return {
    tag: "Blind",
    tone: "warning",
    text: "Kills would go unseen here: no kernel log is being read.",
    detail: why,
  };
}

function unaccounted({ unaccountedKills }: StatusView): Finding | undefined {
  if (unaccountedKills === undefined || unaccountedKills <= 0) {
    return undefined;
  }
  const kills = unaccountedKills === 1 ? "1 kill" : `${unaccountedKills} kills`;
  return {
    tag: "Kills missed",
    tone: "warning",
    text: `The kernel counted ${kills} that its log did not show.`,
  };
}

function healthy({ memory, kills, atMs }: StatusView): Finding {
  const last = kills[0] && killTimeMs(kills[0]);
  const past =
    last === undefined ? "No kill is known here." : `The last kill was ${ago(last, atMs)}.`;
  if (memory === undefined) {
    return { tag: "Quiet", tone: "calm", text: "No kill within the last hour.", detail: past };
  }
  return {
    tag: "Healthy",
    tone: "calm",
    text: `Nothing is short of memory: ${bytes(memory.availableBytes)} of ${bytes(memory.totalBytes)} is available.`,
    detail: past,
  };
}

const kindNames: Record<string, string> = {
  anon: "processes' own",
  shmem: "shared, tmpfs",
  slab_unreclaimable: "kernel objects",
  page_tables: "page tables",
  kernel_stack: "kernel stacks",
  hugetlb: "huge pages",
  other: "other",
  page_cache: "page cache",
  slab_reclaimable: "kernel caches",
  free: "free",
};

function memoryCard({ memory }: StatusView): Html {
  if (memory === undefined) {
    return html`<section class="card"><h2>Memory of the host</h2><p>Cannot be read here.</p></section>`;
  }
  const { totalBytes, availableBytes, swapTotalBytes, swapFreeBytes } = memory;
  // What the kernel can take back stands last, next to what is free.
  const kinds = Object.keys(kindNames);
  const parts = [...memory.used, { kind: "free", bytes: memory.freeBytes }]
    .filter((part) => part.bytes > 0)
    .sort((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind));
  const swapUsedBytes = swapTotalBytes - swapFreeBytes;
  return html`<section class="card">
<h2>Memory of the host</h2>
<p class="big">${bytes(availableBytes)} <small>available of ${bytes(totalBytes)}, ${percent(availableBytes, totalBytes)}</small></p>
${bar(parts, totalBytes, `Memory by use: ${parts.map((part) => `${kindNames[part.kind]} ${bytes(part.bytes)}`).join(", ")}`)}
<ul class="legend">${parts
    .filter((part) => part.bytes >= totalBytes / 200 || part.kind === "free")
    .map(
      (part) =>
        html`<li><svg aria-hidden="true"><rect class="${part.kind}" width="100%" height="100%"/></svg><span>${kindNames[part.kind]}</span><span>${bytes(part.bytes)}</span></li>`,
    )}</ul>
<div class="swap">${
    swapTotalBytes === 0
      ? html`<p>No swap.</p>`
      : html`<p>Swap: ${bytes(swapFreeBytes)} left of ${bytes(swapTotalBytes)}</p>
${bar([{ kind: swapUsedBytes > swapTotalBytes * 0.9 ? "alarm" : "plain", bytes: swapUsedBytes }], swapTotalBytes, `${percent(swapUsedBytes, swapTotalBytes)} of swap in use`)}`
  }</div>
</section>`;
}

function victimsCard({ victims, unkillable }: StatusView): Html {
  return html`<section class="card">
<h2>Who dies next <small>if the host runs out</small></h2>
${
  victims.length === 0
    ? html`<p>Cannot be told here.</p>`
    : html`<table>
<thead><tr><th>Process</th><th class="n">Holds</th><th class="n">Score</th></tr></thead>
<tbody>${victims
        .slice(0, shownVictims)
        .map(
          (victim, index) =>
            html`<tr${index === 0 && html` class="first"`}><td>${victim.comm} <small class="path">pid ${victim.pid}${inWorkload(victim)}</small></td><td class="n">${bytes(victim.residentBytes + victim.swapBytes)}</td><td class="n">${victim.score}${victim.scoreAdj !== 0 && html`<small class="path">adj ${victim.scoreAdj}</small>`}</td></tr>`,
        )}</tbody>
</table>`
}
${
  unkillable !== undefined &&
  unkillable.count > 0 &&
  html`<p class="note">${unkillable.count} ${unkillable.count === 1 ? "process" : "processes"} with ${bytes(unkillable.residentBytes)} may not be killed (oom_score_adj -1000).</p>`
}
</section>`;
}

function inWorkload({ owner, cgroup }: VictimView): string {
  const name = workloadName(owner, cgroup);
  return name === undefined ? "" : `, ${name}`;
}

function cgroupsCard({ cgroups }: StatusView): Html {
  const inUse = cgroups.filter(({ usedBytes }) => usedBytes > 0);
  const shown = inUse.slice(0, shownCgroups);
  const hidden = inUse.length - shown.length;
  return html`<section class="card wide">
<h2>Closest to their limits</h2>
${
  shown.length === 0
    ? html`<p>No cgroup in use has a memory limit.</p>`
    : html`<ol class="rows">${shown.map((cgroup) => {
        const { usedBytes, limitBytes, limitCgroup } = cgroup;
        const name = workloadName(cgroup.owner, cgroup.cgroup);
        const used = percent(usedBytes, limitBytes);
        return html`<li><div class="row"><span class="what"><b>${name}</b>${name !== cgroup.cgroup && html` <span class="path">${cgroup.cgroup}</span>`}${limitCgroup !== undefined && html` <span class="path">limit of ${limitCgroup}</span>`}</span><span class="much">${bytes(usedBytes)} of ${bytes(limitBytes)}, ${used}</span></div>${bar([{ kind: cgroupTone(cgroup), bytes: usedBytes }], limitBytes, `${used} of the limit`)}</li>`;
      })}</ol>`
}
${hidden > 0 && html`<p class="note">${hidden} more with a limit, further from it.</p>`}
</section>`;
}

function killsCard({ kills, atMs }: StatusView, site: Site): Html {
  return html`<section class="card wide">
<h2>Last kills</h2>
${
  kills.length === 0
    ? html`<p>None is known.</p>`
    : html`<ol class="rows">${kills.slice(0, shownKills).map((kill) => {
        const when = killTimeMs(kill);
        const where = workloadName(kill.owner, kill.cgroup);
        return html`<li><div class="row"><span class="what"><a class="name" href="${killPath(kill, site)}">${kill.comm === "" ? "(no name)" : kill.comm}</a> pid ${kill.pid}${where !== undefined && html` in ${where}`}</span><span class="much">${when === undefined ? "time unknown" : time(when, atMs)}</span></div><p>${causeTitles[kill.cause]}. ${kill.summary}</p></li>`;
      })}</ol>`
}
</section>`;
}

function watchCard({ sources, troubles }: StatusView): Html {
  return html`<section class="card wide">
<h2>What is watched</h2>
<ul class="rows">${sources.map(
    (source) =>
      html`<li><span class="state ${source.up ? "calm" : "warning"}">${source.up ? "Reading" : "Not reading"} the kernel log from ${source.path ?? source.name}</span>${source.reason !== undefined && html`<p>${source.reason}</p>`}</li>`,
  )}${sources.length === 0 && html`<li><span class="state warning">No kernel log is read</span></li>`}${troubles.map(
    ({ collector, reason }) =>
      html`<li><span class="state warning">${collector} is missing</span><p>${reason}</p></li>`,
  )}${troubles.length === 0 && html`<li><span class="state calm">Every collector works</span></li>`}</ul>
</section>`;
}

function killPath({ incident }: Kill, { basePath }: Site): string {
  return `${basePath}/kills/${encodeURIComponent(incident)}`;
}

function killTimeMs({ time }: Kill): number | undefined {
  return time === null ? undefined : Date.parse(time);
}
