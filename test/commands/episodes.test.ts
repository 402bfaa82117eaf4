import { expect, it } from "vitest";
import { Episode } from "../../src/commands/episodes.ts";
import { table } from "../../src/text/table.ts";
import { aKill } from "../http/views.ts";

/** More than a call takes as arguments. */
const many = 140_000;

it("is a storm of any size", () => {
  const kill = aKill();
  const episode = new Episode();
  for (let index = 0; index < many; index++) {
    const line = { timeMs: index * 1000, uptimeSeconds: null, victim: "sh", pid: index };
    episode.add({ ...line, where: "-", heldBytes: 0, cause: kill.cause }, { kill });
  }
  expect(episode.storm(kill)).toMatch(/^140000 kills in 139999 s, /);
});

it("is listed in a table of any length", () => {
  const rows = Array.from({ length: many }, () => ["sh"]);
  expect(table([{ head: "victim" }], rows, 80)).toHaveLength(many + 1);
});
