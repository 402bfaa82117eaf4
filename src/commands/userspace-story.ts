/** The explanation of a kill by a daemon, for a terminal. */
import { killerTitles } from "../killers/killer.ts";
import { type UserspaceKill, victimName } from "../killers/userspace-kill.ts";
import type { Kill } from "../kills/kill.ts";
import { printable } from "../text/printable.ts";
import { bytes } from "../text/quantities.ts";
import { wrap } from "../text/wrapping.ts";
import { advice, field, placeOf, whenOf, where } from "./kill-story.ts";
import type { Style } from "./terminal.ts";

/** One kill on several lines. */
export function userspaceStory(kill: UserspaceKill, style: Style): string {
  const lines = [
    ...headline(kill, style),
    ...field("Why", printable(kill.summary), style),
    ...where(kill, style),
    ...advice(kill, style),
    ...facts(kill, style),
  ];
  return `${lines.join("\n")}\n`;
}

/** What a daemon did to a process that the kernel killed, in one sentence. */
export function linkedSentence(kill: UserspaceKill, kernelKill: Kill): string {
  const apartMs =
    kill.time === null || kernelKill.time === null
      ? undefined
      : Date.parse(kernelKill.time) - Date.parse(kill.time);
  const when =
    apartMs === undefined
      ? ""
      : `, ${(Math.abs(apartMs) / 1000).toFixed(1)} s ${apartMs >= 0 ? "before" : "after"}`;
  return `${killerTitles[kill.killer]} had signalled it too${when}. ${kill.summary}`;
}

function headline(kill: UserspaceKill, style: Style): string[] {
  const name = style.alarm(printable(victimName(kill)));
  const said = `${name} ${style.bold(what(kill))}${whenOf(kill)}`;
  return wrap(`${said} ${style.quiet(placeOf(kill.source))}`, style.width);
}

function what({ killer, pid, signal, reason }: UserspaceKill): string {
  const by = killerTitles[killer];
  if (reason === "eviction") return `was evicted by ${by}`;
  return pid === null
    ? `was killed by ${by}`
    : `(pid ${pid}) was sent ${signal ?? "a signal"} by ${by}`;
}

function facts(kill: UserspaceKill, style: Style): string[] {
  const parts = [
    kill.uid === null ? undefined : `uid ${kill.uid}`,
    kill.oomScoreAdj === null ? undefined : `oom_score_adj ${kill.oomScoreAdj}`,
    `reason ${kill.reason}`,
    kill.residentBytes === null ? undefined : `${bytes(kill.residentBytes)} resident`,
    kill.swapBytes === null ? undefined : `${bytes(kill.swapBytes)} swapped`,
  ];
  return field("Facts", parts.filter((part) => part !== undefined).join(", "), style);
}
