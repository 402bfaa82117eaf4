import { type AnyKill, isKernelKill, killTimeMs } from "../killers/linked-kills.ts";
import { processName } from "../kills/process-name.ts";
import { workloadName } from "../kills/workload-name.ts";
import {
  cgroupName,
  cgroupTone,
  type Finding,
  findings,
  nameOfVictim,
  secondsLeft,
  trend,
} from "../status/findings.ts";
import {
  type Bypass,
  type CgroupView,
  type HostMemoryView,
  heldBytes,
  insteadOfKill,
  type StatusView,
  type VictimView,
} from "../status/status-view.ts";
import { bytes, percent } from "../text/quantities.ts";
import { about, utc, utcClock } from "../text/times.ts";
import { chart } from "./chart.ts";
import { runbookPath } from "./documents.ts";
import { type Html, html } from "./html.ts";
import { causeTitles } from "./kill-page.ts";
import { bar, layout, type Site, time } from "./pages.ts";
import { reasonTitles } from "./userspace-kill-page.ts";

const hourMs = 3_600_000;
/** An hour of readings begins at most this much late. */
const slackMs = 120_000;
/** What is shown at once, and what opens on demand. */
const limitsShown = { atOnce: 6, atMost: 100 };
const killsShown = { atOnce: 5, atMost: 100 };
const victimsShown = { atOnce: 5, atMost: Number.POSITIVE_INFINITY };

/** `/`: the answer in one sentence, then the evidence. */
export function statusPage(view: StatusView, site: Site): Html {
  const [answer, ...others] = findings(view);
  const body = html`
${answerSection(answer, others, view, site)}
${memorySection(view)}
${limitsSection(view)}
${victimsSection(view)}
${killsSection(view, site)}
${watchSection(view)}`;
  return layout({ title: answer.sentence, tone: answer.tone, body, isLive: true }, site);
}

function answerSection(
  answer: Finding,
  others: readonly Finding[],
  { atMs }: StatusView,
  site: Site,
): Html {
  const { sentence, tone, topic, detail, kill, alert } = answer;
  const next = [answer, ...others].find((finding) => finding.next !== undefined)?.next;
  const text = unbroken(sentence);
  const [, lead, rest] = /^([^:]*:)( .*)$/s.exec(text) ?? [];
  return html`<section class="answer" aria-labelledby="answer">
<h1 id="answer" data-topic="${topic}">${lead === undefined ? text : html`<span class="${tone}">${lead}</span>${rest}`}</h1>
${detail !== undefined && html`<p class="detail">${withFullStop(detail)}</p>`}
${kill !== undefined && html`<p><a href="${killPath(kill, site)}">Why this process, and what to do</a></p>`}
${alert !== undefined && html`<p><a href="${runbookPath(alert, site)}">What to do</a></p>`}
${
  others.length > 0 &&
  html`<ul class="also">${others.map(
    (other) =>
      html`<li class="state ${other.tone}"><span>${withFullStop(other.sentence)}${other.kill !== undefined && html` <a href="${killPath(other.kill, site)}">Why</a>`}${other.alert !== undefined && html` <a href="${runbookPath(other.alert, site)}">What to do</a>`}</span></li>`,
  )}</ul>`
}
${next !== undefined && html`<p>${next.text}</p><pre><code>${next.command}</code></pre>`}
<p class="as-of" id="as-of">As of <time datetime="${new Date(atMs).toISOString()}" title="${utc(atMs)}">${utcClock(atMs)}</time></p>
</section>`;
}

/** Keeps a number on one line with its noun, and a pid with its word. */
function unbroken(text: string): string {
  return text.replace(/(?<=\d) (?=[KMGTP]iB|%|minute|hour|day)|(?<=\(pid) /g, "\u00a0");
}

function withFullStop(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

const kindNames: Record<string, string> = {
  anon: "processes' own",
  shmem: "shared, tmpfs",
  slab_unreclaimable: "kernel objects",
  page_tables: "page tables",
  kernel_stack: "kernel stacks",
  hugetlb: "huge pages",
  percpu: "per-processor data",
  vmalloc: "kernel mappings",
  zspages: "zram, zswap",
  balloon: "balloon",
  other: "other",
  page_cache: "page cache",
  slab_reclaimable: "kernel caches",
  free: "free",
};

function memorySection(view: StatusView): Html {
  const { memory } = view;
  if (memory === undefined) {
    return html`<section class="card" aria-labelledby="memory"><h2 id="memory">Host memory</h2><p>Not available on this host.</p></section>`;
  }
  const { totalBytes, availableBytes } = memory;
  // Reclaimable memory comes last, next to free memory.
  const kinds = Object.keys(kindNames);
  const parts = [...memory.used, { kind: "free", bytes: memory.freeBytes }]
    .filter((part) => part.bytes > 0)
    .sort((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind));
  return html`<section class="card" aria-labelledby="memory">
<h2 id="memory">Host memory</h2>
<div class="two">
<div>
<p class="big">${bytes(availableBytes)} <small>left of ${bytes(totalBytes)}, ${percent(availableBytes, totalBytes)}</small></p>
${bar(parts, totalBytes, `Memory by use: ${parts.map((part) => `${kindNames[part.kind]} ${bytes(part.bytes)}`).join(", ")}`, "bar whole")}
<ul class="legend">${parts
    .filter((part) => part.bytes >= totalBytes / 200 || part.kind === "free")
    .map(
      (part) =>
        html`<li class="of-${part.kind}" data-key="${part.kind}"><svg aria-hidden="true"><rect class="${part.kind}" width="100%" height="100%"/></svg><span>${kindNames[part.kind]}</span><span>${bytes(part.bytes)}</span></li>`,
    )}</ul>
${
  memory.beside.length > 0 &&
  html`<ul class="beside">${memory.beside.map(
    ({ name, bytes: size, detail }) =>
      html`<li data-key="${name}">${name}: ${bytes(size)}, ${detail}</li>`,
  )}</ul>`
}
</div>
<div>${hourFigure(memory, view.atMs)}${swapPart(memory)}</div>
</div>
</section>`;
}

function hourFigure({ lastHour, totalBytes, swapTotalBytes }: HostMemoryView, atMs: number): Html {
  const memory = lastHour.map((point) => ({ atMs: point.atMs, bytes: point.usedBytes }));
  const swap = lastHour.map((point) => ({ atMs: point.atMs, bytes: point.swapUsedBytes }));
  const lines = [
    { kind: "memory", name: "Unreclaimable memory", points: memory },
    ...(swapTotalBytes > 0 ? [{ kind: "swap", name: "Swap in use", points: swap }] : []),
  ];
  return html`<figure>
<figcaption><span>In use, ${watchedSince(memory, atMs) ?? "last hour"}</span><span class="keys" aria-hidden="true"><span>memory</span>${swapTotalBytes > 0 && html`<span class="swap">swap</span>`}<span class="limit">${bytes(totalBytes)}</span></span></figcaption>
${chart({ fromMs: atMs - hourMs, toMs: atMs, limitBytes: totalBytes, lines })}
<div class="axis" aria-hidden="true"><span>1 hour ago</span><span>30 minutes</span><span>now</span></div>
</figure>`;
}

/** Watched for less than the hour that a chart shows. */
function watchedSince(points: readonly { atMs: number }[], atMs: number): string | undefined {
  const [first] = points;
  const isShort = first !== undefined && first.atMs > atMs - hourMs + slackMs;
  return isShort
    ? `watching since ${utcClock(first.atMs).replace(/:\d\d UTC$/, " UTC")}`
    : undefined;
}

function swapPart({ swapTotalBytes, swapFreeBytes }: HostMemoryView): Html {
  if (swapTotalBytes === 0) return html`<p class="note">No swap.</p>`;
  return html`<p class="note">Swap: ${bytes(swapFreeBytes)} left of ${bytes(swapTotalBytes)}, ${percent(swapFreeBytes, swapTotalBytes)}</p>`;
}

function limitsSection({ cgroups, atMs }: StatusView): Html {
  const inUse = cgroups.filter(({ usedBytes }) => usedBytes > 0);
  const longest = inUse.reduce<CgroupView["lastHour"]>(
    (best, { lastHour }) => (lastHour.length > best.length ? lastHour : best),
    [],
  );
  const since = watchedSince(longest, atMs);
  const [shown, more, hidden] = divide(inUse, limitsShown);
  const list = (rows: readonly Html[]) => html`<ol class="rows limits">${rows}</ol>`;
  return html`<section class="card" aria-labelledby="limits">
<h2 id="limits">Closest to their limits${since !== undefined && html` <small>${since}</small>`}</h2>
${shown.length === 0 ? html`<p>No cgroup in use has a memory limit.</p>` : list(shown.map((cgroup) => limitRow(cgroup, limitFigure(cgroup, atMs))))}
${more.length > 0 && html`<details><summary>${more.length} more ${more.length === 1 ? "cgroup" : "cgroups"}</summary>${list(more.map((cgroup) => limitRow(cgroup)))}</details>`}
${hidden > 0 && html`<p class="note">${hidden} more not shown.</p>`}
</section>`;
}

function limitFigure(cgroup: CgroupView, atMs: number): Html {
  const { lastHour, limitBytes } = cgroup;
  const line = {
    kind: cgroupTone(cgroup),
    name: `Memory used by ${cgroupName(cgroup)}`,
    points: lastHour.map((point) => ({ atMs: point.atMs, bytes: point.usedBytes })),
  };
  return html`<figure>${chart({ fromMs: atMs - hourMs, toMs: atMs, limitBytes, lines: [line] })}</figure>`;
}

function limitRow(cgroup: CgroupView, figure?: Html): Html {
  const { usedBytes, limitBytes, limitCgroup, bypass, timeLeft } = cgroup;
  const held = heldBytes(cgroup);
  const name = cgroupName(cgroup);
  const tone = cgroupTone(cgroup);
  const filled = percent(held, limitBytes);
  const cacheBytes = Math.max(0, usedBytes - held);
  const seconds = secondsLeft(timeLeft);
  const outlook = seconds === undefined ? trend(timeLeft) : `full in ${about(seconds)}`;
  return html`<li data-key="${cgroup.cgroup}">
<div class="what"><b>${name}</b>${name !== cgroup.cgroup && html`<span class="path one-line" title="${cgroup.cgroup}">${cgroup.cgroup}</span>`}${limitCgroup !== undefined && html`<span class="path">limit set by ${limitCgroup}</span>`}${bypass !== undefined && html`<span class="path">${bypassAtLimit(bypass, cgroup.cgroup)}</span>`}</div>
${figure}
<div class="much"><b>${bytes(held)}</b> ${unbroken(`of ${bytes(limitBytes)}, ${filled}`)}${outlook !== undefined && html`<span class="path ${tone}-text">${outlook}</span>`}</div>
${bar(
  [
    { kind: tone, bytes: held },
    { kind: "cache", bytes: cacheBytes },
  ],
  limitBytes,
  `${filled} of the limit is unreclaimable${cacheBytes === 0 ? "" : `, and ${percent(cacheBytes, limitBytes)} is page cache in use`}`,
)}
</li>`;
}

/** What happens at the limit of a cgroup, where the kernel does not kill by its ranking. */
function bypassAtLimit({ setting, cgroup }: Bypass, path: string): string {
  const whose = cgroup === null || cgroup === path ? "" : ` of ${cgroup}`;
  return `at the limit ${insteadOfKill[setting]} (${setting}${whose})`;
}

/** What happens if the host runs out, where the kernel does not kill by its ranking. */
function bypassOnHost({ setting }: Bypass): string {
  return `But ${setting} is set: ${insteadOfKill[setting]}.`;
}

function victimsSection({ victims, bypass, unkillable }: StatusView): Html {
  const [shown, more] = divide(victims, victimsShown);
  return html`<section class="card" aria-labelledby="victims">
<h2 id="victims">Who dies next <small>if the host runs out</small></h2>
${bypass !== undefined && html`<p class="note">${bypassOnHost(bypass)}</p>`}
${shown.length === 0 ? html`<p>Not available on this host.</p>` : victimsTable(shown, true)}
${more.length > 0 && html`<details><summary>The next ${more.length === 1 ? "one" : more.length}</summary>${victimsTable(more, false)}</details>`}
${
  unkillable !== undefined &&
  unkillable.count > 0 &&
  html`<p class="note">Exempt from kills: ${unkillable.count} ${unkillable.count === 1 ? "process" : "processes"} with ${bytes(unkillable.residentBytes)} (oom_score_adj -1000).</p>`
}
</section>`;
}

function victimsTable(victims: readonly VictimView[], hasFirst: boolean): Html {
  return html`<table>
<thead><tr><th scope="col">Process</th><th scope="col" class="n">oom_score_adj</th><th scope="col" class="n">A kill frees</th></tr></thead>
<tbody>${victims.map((victim, index) => {
    const { pid, owner, cgroup, scoreAdj, freesBytes, diesWith } = victim;
    const where = workloadName(owner, cgroup);
    return html`<tr data-key="${pid}"${hasFirst && index === 0 && html` class="first"`}><th scope="row">${processName(victim)}<span class="path">pid ${pid}${where !== undefined && `, ${where}`}</span></th><td class="n">${scoreAdj}</td><td class="n"><b>${bytes(freesBytes)}</b>${diesWith.length > 0 && html`<span class="path">with ${diesWith.length} ${diesWith.length === 1 ? "other" : "others"}</span>`}</td></tr>`;
  })}</tbody>
</table>`;
}

function killsSection({ kills, atMs }: StatusView, site: Site): Html {
  const [shown, more, hidden] = divide(kills, killsShown);
  const rows = (part: readonly AnyKill[]) =>
    html`<ol class="rows">${part.map((kill) => killRow(kill, atMs, site))}</ol>`;
  return html`<section class="card" aria-labelledby="kills">
<h2 id="kills">Latest kills</h2>
${shown.length === 0 ? html`<p>No kills known.</p>` : rows(shown)}
${more.length > 0 && html`<details><summary>${more.length} earlier ${more.length === 1 ? "kill" : "kills"}</summary>${rows(more)}</details>`}
${hidden > 0 && html`<p class="note">${hidden} more: <a href="${site.basePath}/api/v1/kills?limit=1000">all kills as JSON</a></p>`}
</section>`;
}

function killRow(kill: AnyKill, atMs: number, site: Site): Html {
  const when = killTimeMs(kill);
  const where = kill.comm === null ? undefined : workloadName(kill.owner, kill.cgroup);
  const isKernels = isKernelKill(kill);
  const name = nameOfVictim(kill);
  const title = isKernels ? causeTitles[kill.cause] : reasonTitles[kill.reason];
  return html`<li data-key="${kill.incident}"><div class="row"><span class="what"><a class="name" href="${killPath(kill, site)}">${name}</a>${kill.pid !== null && html` pid ${kill.pid}`}${where !== undefined && html` of ${where}`}${!isKernels && html` <span class="tag">${kill.killer}</span>`}</span><span class="much">${when === undefined ? "time unknown" : time(when, atMs)}</span></div><p>${title}. ${kill.summary}</p></li>`;
}

function watchSection({ sources, troubles, otherKillers }: StatusView): Html {
  return html`<section class="card" aria-labelledby="watch">
<h2 id="watch">Monitoring</h2>
<ul class="rows">${sources.map(
    (source) =>
      html`<li><span class="state ${source.up ? "calm" : "warning"}">${source.up ? "Reading" : "Not reading"} the kernel log from ${source.path ?? source.name}</span>${source.reason !== undefined && html`<p>${source.reason}</p>`}</li>`,
  )}${sources.length === 0 && html`<li><span class="state warning">No kernel log is being read</span></li>`}${troubles.map(
    ({ collector, reason }) =>
      html`<li><span class="state warning">${collector} is missing</span><p>${reason}</p></li>`,
  )}${troubles.length === 0 && html`<li><span class="state calm">All collectors work</span></li>`}${otherKillers.map(
    (sentence) => html`<li><p>${sentence}</p></li>`,
  )}</ul>
</section>`;
}

/** What is shown at once, what opens on demand, and how many are left out. */
function divide<Item>(
  items: readonly Item[],
  { atOnce, atMost }: { atOnce: number; atMost: number },
): [readonly Item[], readonly Item[], number] {
  return [items.slice(0, atOnce), items.slice(atOnce, atMost), Math.max(0, items.length - atMost)];
}

function killPath({ incident }: AnyKill, { basePath }: Site): string {
  return `${basePath}/kills/${encodeURIComponent(incident)}`;
}
