import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { killsIn } from "./daemon-log.ts";

/** What Debian 12's daemons printed when they signalled processes, and wait() saw these end by it. */
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
