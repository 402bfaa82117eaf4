import { expect, it } from "vitest";
import { CommandKills, commandLimit } from "../../src/kills/command-kills.ts";
import { killedStaysMs } from "../../src/kills/workload-series.ts";

function kill(commands: CommandKills, comm: string, atMs: number): string {
  const name = commands.nameFor(comm, atMs);
  commands.count(name, atMs);
  return name;
}

function full(): CommandKills {
  const commands = new CommandKills();
  for (let index = 0; index < commandLimit; index++) kill(commands, `comm-${index}`, index);
  return commands;
}

it("has a series per comm, and `other` from the start", () => {
  const commands = new CommandKills();
  kill(commands, "java", 0);
  kill(commands, "java", 1);
  expect(commands.list().map(({ comm, kills }) => [comm, kills])).toEqual([
    ["other", 0],
    ["java", 2],
  ]);
});

it("counts kills beyond 200 names as `other`", () => {
  const commands = full();
  expect(kill(commands, "new", 1000)).toBe("other");
  expect(kill(commands, "comm-7", 1000)).toBe("comm-7");
  expect(commands.list()).toHaveLength(commandLimit + 1);
});

it("makes room by a name that was not killed for a day", () => {
  const commands = full();
  expect(kill(commands, "new", killedStaysMs)).toBe("new");
  expect(kill(commands, "newer", killedStaysMs)).toBe("other");
  expect(commands.list().some(({ comm }) => comm === "comm-0")).toBe(false);
});

it("counts a program that is called `other` there", () => {
  const commands = new CommandKills();
  kill(commands, "other", 0);
  expect(commands.list()).toEqual([{ comm: "other", kills: 1, lastKillMs: 0 }]);
});

it("has the same series when saved kills are counted again, a name that made room included", () => {
  const live = full();
  const again = new CommandKills();
  again.restore(JSON.parse(JSON.stringify(live.list())));
  again.count(kill(live, "new", killedStaysMs), killedStaysMs);
  expect(again.list()).toEqual(live.list());
});

it("continues after a restart", () => {
  const commands = new CommandKills();
  commands.restore(JSON.parse(JSON.stringify(full().list())));
  expect(kill(commands, "comm-3", 1000)).toBe("comm-3");
  expect(commands.list().find(({ comm }) => comm === "comm-3")?.kills).toBe(2);
});
