import { type KillReason, killerTitles } from "../killers/killer.ts";
import { type AnyKill, isKernelKill, killTimeMs } from "../killers/linked-kills.ts";
import { type UserspaceKill, victimName } from "../killers/userspace-kill.ts";
import { workloadName } from "../kills/workload-name.ts";
import { bytes } from "../text/quantities.ts";
import { utc } from "../text/times.ts";
import { type Html, html } from "./html.ts";
import { adviceCard, card, factTable, killPage } from "./kill-page.ts";
import { layout, type Site, time } from "./pages.ts";

/** Each reason in words. */
export const reasonTitles: Record<KillReason, string> = {
  memory_pressure: "Processes waited for memory too long",
  swap: "Swap was used up",
  memory_available: "Little memory was available",
  eviction: "The node was short of memory",
  other: "Memory was short",
};

/**
 * `/kills/:incident`, for kills by the kernel and by daemons. A process that a daemon signalled and the kernel killed
 * has one page, under both incidents.
 */
export function pageOfKill(
  incident: string,
  kills: readonly AnyKill[],
  site: Site,
  nowMs: number,
): Html | undefined {
  const kill = kills.find((candidate) => candidate.incident === incident);
  if (kill === undefined) return undefined;
  const linked =
    kill.linkedIncident === null
      ? undefined
      : kills.find((candidate) => candidate.incident === kill.linkedIncident);
  const pair = [kill, linked].filter((candidate) => candidate !== undefined);
  const kernelKill = pair.find(isKernelKill);
  const other = pair.find((candidate) => !isKernelKill(candidate)) as UserspaceKill | undefined;
  if (kernelKill !== undefined) {
    return killPage(kernelKill, site, nowMs, other && linkedCard(other, nowMs));
  }
  return other && userspaceKillPage(other, site, nowMs);
}

function userspaceKillPage(kill: UserspaceKill, site: Site, nowMs: number): Html {
  const name = victimName(kill);
  const where = kill.comm === null ? undefined : workloadName(kill.owner, kill.cgroup);
  const when = killTimeMs(kill);
  const verb = kill.reason === "eviction" ? "evicted" : "killed";
  const body = html`
<section class="answer" aria-labelledby="answer">
<h1 id="answer"><span class="alarm">${reasonTitles[kill.reason]}:</span> ${killerTitles[kill.killer]} ${verb} ${name}${kill.pid !== null && html` (pid ${kill.pid})`}${where !== undefined && html` of ${where}`}</h1>
<p class="detail">${kill.summary}</p>
<p>${when === undefined ? "The log does not say when." : html`${time(when, nowMs)}, at ${utc(when)}`}</p>
</section>
${adviceCard(kill.advice, site)}
${numbersCard(kill)}
${card("Details", factTable(origin(kill)))}`;
  return layout({ title: `${name} was ${verb}`, tone: "alarm", body }, site);
}

/** What a daemon had done to the process that the kernel killed. */
function linkedCard(kill: UserspaceKill, nowMs: number): Html {
  const when = killTimeMs(kill);
  return card(
    "Another killer had signalled it",
    html`<div class="prose"><p>${kill.summary}</p>${when !== undefined && html`<p>${time(when, nowMs)}, at ${utc(when)}</p>`}</div>`,
    killerTitles[kill.killer],
  );
}

function numbersCard({ readings, residentBytes, swapBytes }: UserspaceKill): Html {
  const percent = (value: number | null): string | null => (value === null ? null : `${value} %`);
  const tiles: [name: string, value: string | null][] = [
    ["Its resident memory", residentBytes === null ? null : bytes(residentBytes)],
    ["Its swap", swapBytes === null ? null : bytes(swapBytes)],
    ["Memory available", percent(readings.memoryAvailablePercent) ?? readings.availableQuantity],
    ["It acts at or below", percent(readings.memoryLimitPercent) ?? readings.thresholdQuantity],
    ["Swap free", percent(readings.swapFreePercent)],
    ["and at or below", percent(readings.swapLimitPercent)],
    ["Memory pressure", percent(readings.pressurePercent)],
    ["It acts above", percent(readings.pressureLimitPercent)],
  ];
  const known = tiles.filter(([, value]) => value !== null);
  return card(
    "The numbers",
    known.length === 0
      ? html`<p>The log contains none.</p>`
      : html`<dl class="tiles">${known.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`,
    "as the killer printed them",
  );
}

function origin(kill: UserspaceKill): [name: string, value: string | number | null][] {
  const { owner, source, readings } = kill;
  return [
    ["Incident", kill.incident],
    ["Killer", kill.killer],
    ["Reason", kill.reason],
    ["Signal", kill.signal],
    ["Pressure of", readings.pressureCgroup],
    ["For more than", readings.pressureDuration],
    ["Cgroup of the victim", kill.cgroup],
    ["Unit", owner.unit],
    ["Container", owner.container ?? owner.containerId],
    ["Pod", owner.pod ?? owner.podUid],
    ["Namespace", owner.namespace],
    ["Program", kill.program],
    ["User id", kill.uid],
    ["oom_score_adj", kill.oomScoreAdj],
    ["Badness", kill.badness],
    ["Read from", source.line === null ? source.name : `${source.name}, line ${source.line}`],
  ];
}
