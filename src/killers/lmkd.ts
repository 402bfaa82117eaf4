/**
 * Android's low memory killer daemon - AOSP `system/memory/lmkd/lmkd.cpp`, since Android 9. By its source
 * and by public logs: no line here was recorded from a phone of our own. Only `explain` reads it.
 *
 *   kill     = "Kill '" NAME "' (" PID "), uid " UID ", oom_score_adj " N " to free " N "kB"
 *              [" rss" {", " N "kB " KIND} ["; reason: " WORDS]]
 *
 *   Kill 'com.android.settings' (3946), uid 10144, oom_score_adj 100 to free 266188kB rss, 0kB swap; reason: min watermark is breached even after kill
 */
import { decodeUtf8 } from "../kernel-log/kernel-text.ts";
import { type DaemonGrammar, type DaemonKill, type DaemonLine, stampsOf } from "./daemon-kill.ts";
import type { KillReason } from "./killer.ts";

const kill =
  /^Kill '(.{0,256}?)' \((\d{1,10})\), uid (\d{1,10}), oom_score_adj (-?\d{1,5}) to free (\d{1,12})kB(?: rss)?((?:, \d{1,12}kB [\w ]{1,24})*)(?:; reason: (.{1,160}))?/s;
const kilobyte = 1024;

export class LmkdGrammar implements DaemonGrammar {
  readonly isOpen = false;

  read(line: DaemonLine): DaemonKill | undefined {
    const match = kill.exec(line.text);
    if (match === null) return undefined;
    const [, name = "", pid, uid, scoreAdj, rss, more = "", words] = match;
    const swap = /, (\d+)kB swap/.exec(more)?.[1];
    return {
      killer: "lmkd",
      reason: reasonOf(words ?? ""),
      pid: Number(pid),
      comm: decodeUtf8(name),
      uid: Number(uid),
      oomScoreAdj: Number(scoreAdj),
      signal: "SIGKILL",
      rssBytes: Number(rss) * kilobyte,
      swapBytes: swap === undefined ? undefined : Number(swap) * kilobyte,
      readings: { words },
      ...stampsOf(line),
    };
  }

  settle(): undefined {
    return undefined;
  }
}

function reasonOf(words: string): KillReason {
  if (/swap/.test(words)) return "swap";
  if (/thrashing|pressure|not responding/.test(words)) return "memory_pressure";
  if (/watermark/.test(words)) return "memory_available";
  return "other";
}
