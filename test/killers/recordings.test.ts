import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { killsIn } from "./daemon-log.ts";

/** What Debian's daemons printed when they killed, and wait() or systemd saw their victims end by it. */
const recordings = [
  {
    file: "earlyoom-1.7.log",
    victims: [
      ["sleep", 3],
      ["hog", 4],
      ["perl", 5],
      ["perl", 6],
    ],
    reason: "memory_available",
  },
  {
    file: "nohang-0.2.0.log",
    victims: [
      ["hog1", 10],
      ["hog2", 47],
    ],
    reason: "memory_available",
  },
] as const;

it.each(recordings)("finds every kill in $file, and no other", ({ file, victims, reason }) => {
  const log = readFileSync(new URL(`../fixtures/daemons/${file}`, import.meta.url));
  const kills = killsIn(log);
  expect(kills.map(({ comm, pid }) => [comm, pid])).toEqual(victims);
  for (const kill of kills) expect(kill).toMatchObject({ signal: "SIGTERM", reason });
});

it.each(["systemd-oomd-257.log", "systemd-oomd-257.journal.json"])(
  "finds every kill by systemd-oomd in %s once, though systemd tells of each again",
  (file) => {
    const log = readFileSync(new URL(`../fixtures/daemons/${file}`, import.meta.url));
    expect(killsIn(log)).toMatchObject(
      [
        ["leaf1", 27.4],
        ["leaf2", 8.75],
        ["leaf3", 23.11],
      ].map(([unit, pressurePercent]) => ({
        killer: "systemd-oomd",
        reason: "memory_pressure",
        cgroup: `/squeezed.slice/${unit}.service`,
        readings: { pressurePercent, pressureLimitPercent: 5, pressureCgroup: "/squeezed.slice" },
      })),
    );
  },
);
