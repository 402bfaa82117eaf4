import { utcZone } from "../../src/kernel-log/local-time.ts";
import { newlinesIn } from "../../src/kernel-log/newlines.ts";
import type { DaemonKill } from "../../src/killers/daemon-kill.ts";
import { DaemonScanner } from "../../src/killers/daemon-scanner.ts";
import type { UserspaceKiller } from "../../src/killers/killer.ts";

export const clock = { nowMs: () => Date.parse("2026-11-21T00:00:00Z"), zone: utcZone };

/** The kills that a log holds, pushed in pieces of `pieceBytes`. */
export function killsIn(
  log: string | Uint8Array,
  options: { copied?: boolean; pieceBytes?: number; killers?: UserspaceKiller[] } = {},
): DaemonKill[] {
  const kills: DaemonKill[] = [];
  const { copied, killers, pieceBytes = 65_536 } = options;
  const scanner = new DaemonScanner({ clock, copied, killers }, (kill) => kills.push(kill));
  const bytes = Buffer.from(log);
  let lines = 0;
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = bytes.subarray(at, at + pieceBytes);
    scanner.push(piece, lines);
    lines += newlinesIn(piece);
  }
  scanner.endOfInput();
  return kills;
}

/** The texts of one daemon as rsyslog writes them. */
export function syslog(identifier: string, ...texts: string[]): string {
  return texts.map((text) => `Nov 20 13:23:50 web1 ${identifier}: ${text}\n`).join("");
}

/** The fields that come from the daemon's own words, without stamps. */
export function fieldsOf(kills: readonly DaemonKill[]): object[] {
  return kills.map(({ timeMs, monotonicMicros, bootId, lineNumber, ...kill }) =>
    JSON.parse(JSON.stringify(kill)),
  );
}
