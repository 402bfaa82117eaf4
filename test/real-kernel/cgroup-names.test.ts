import { mkdirSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type ExporterProcess,
  eventually,
  main,
  sampleOf,
  startExporter,
  temporaryDirectory,
} from "../setup/exporter-process.ts";
import { makeMemoryCgroup, memoryCgroupObstacle, type TestCgroup } from "../setup/memory-cgroup.ts";
import { needs } from "../setup/needs.ts";
import { GreedyProgram } from "../setup/victim.ts";

const longestName = 255;
/** What the kernel's memory files add to the path of a cgroup, with room for the path of the hierarchy. */
const longestPath = 4095 - "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes".length;

/** The machine's own cgroup file system: the only one that decides what a cgroup may be called. */
needs(describe, memoryCgroupObstacle())("cgroups of the kernel", () => {
  let cgroup: TestCgroup;
  let exporter: ExporterProcess | undefined;

  beforeEach(() => {
    cgroup = makeMemoryCgroup();
  });

  afterEach(async () => {
    await exporter?.end();
    cgroup.remove();
  });

  it("are shown under any name, with what is not UTF-8 escaped, and a kill in one names it", async () => {
    const names = new Map(
      ["\xff", "caf\xe9", "\xc3", "\xed\xa0\x80", "a\x80b", "\xf0\x9f\x92", "\xfe\xff end"].map(
        (bytes) => [Buffer.from(bytes, "latin1"), escaped(bytes)] as const,
      ),
    );
    for (const text of ["日本", "a b", 'quo"te', "back\\slash", "tab\there", "\u202ered", "é"]) {
      names.set(Buffer.from(text), text);
    }
    const directory = temporaryDirectory();
    const greedy = new GreedyProgram(directory.path);
    const children = [...names.keys()].map((name) => cgroup.child(name, 12 << 20));
    exporter = await startExporter([`--state.directory=${directory.path}/state`]);
    const { metrics } = exporter;
    await eventually("all are shown", async () => labelsIn(await metrics()).size >= names.size);
    const shown = [...labelsIn(await metrics())].filter((path) => path !== cgroup.path);
    expect(shown.sort()).toEqual(
      [...names.values()].map((name) => `${cgroup.path}/${name}`).sort(),
    );

    const { pid } = await greedy.runIn(children[1] as TestCgroup);
    const kill = await eventually("the kill is shown", async () =>
      (await exporter?.kills())?.find((candidate) => candidate.pid === pid),
    );
    // Without a report the kernel does not say which it was.
    expect(kill.cgroup ?? `${cgroup.path}/caf\\xe9`).toBe(`${cgroup.path}/caf\\xe9`);
    for (const child of children) child.remove();
    directory.remove();
  });

  it("are counted if their path is longer than any system call takes", async () => {
    const chain = [cgroup];
    for (let level = 0; level < 4096 / 251 + 3; level++) {
      chain.push((chain.at(-1) as TestCgroup).child(Buffer.from("n".repeat(250))));
    }
    exporter = await startExporter();
    const unreadable = 'oom_cgroups_left_out{reason="unreadable"}';
    const { metrics } = exporter;
    await eventually("it is counted", async () => (sampleOf(await metrics(), unreadable) ?? 0) > 0);
    // The first that cannot be reached counts; those below it cannot be known.
    expect(sampleOf(await metrics(), unreadable)).toBe(1);
    for (const each of chain.slice(1).reverse()) each.remove();
  });

  it.each([
    ["letters", "n"],
    // Each is kept as the four characters that the kernel log prints.
    ["bytes that are not UTF-8", "\xff"],
  ])(
    "leave the exporter below 96 MiB if 2,000 have the longest names, of %s",
    async (_, character) => {
      const name = (length: number, suffix = "") =>
        Buffer.from(character.repeat(length - suffix.length) + suffix, "latin1");
      const chain = [cgroup];
      let length = cgroup.path.length;
      for (; length + 2 * (longestName + 1) <= longestPath; length += longestName + 1) {
        chain.push((chain.at(-1) as TestCgroup).child(name(longestName)));
      }
      const parent = chain.at(-1) as TestCgroup;
      // Enables the controller for them.
      parent.child(Buffer.from("first")).remove();
      const size = Math.min(longestName, longestPath - length - 1);
      for (let i = 0; i < 2000; i++) {
        mkdirSync(Buffer.concat([Buffer.from(`${parent.directory}/`), name(size, `${i}`)]));
      }
      exporter = await startExporter([], {
        command: [process.execPath, "--single-threaded", main],
      });
      const { metrics, pid } = exporter;
      let mostKb = 0;
      let text = "";
      for (let scrape = 0; scrape < 20; scrape++) {
        text = await metrics();
        mostKb = Math.max(mostKb, anonymousKb(pid));
      }
      console.log(
        `2,000 cgroups with paths of ${length + 1 + size} bytes: ${Math.round(mostKb / 1024)} MiB anonymous, ` +
          `${text.length} bytes a scrape, ${sampleOf(text, 'oom_cgroups_left_out{reason="bytes"}')} left out`,
      );
      expect(text.match(/^oom_cgroup_memory_current_bytes\{/gm)?.length).toBeGreaterThan(1000);
      expect(mostKb).toBeLessThan(96 * 1024);
      for (const each of chain.slice(1).reverse()) each.remove();
    },
  );

  /** The paths of the test's own cgroups, from their labels. */
  function labelsIn(exposition: string): Set<string> {
    const labels = exposition.matchAll(
      /^oom_cgroup_memory_current_bytes\{cgroup="((?:[^"\\]|\\.)*)"/gm,
    );
    const paths = [...labels].map(([, label = ""]) =>
      label.replace(/\\(.)/g, (_, after) => (after === "n" ? "\n" : after)),
    );
    return new Set(paths.filter((path) => path.startsWith(cgroup.path)));
  }
});

function escaped(bytes: string): string {
  return bytes.replace(
    /[\x80-\xff]/g,
    (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

function anonymousKb(pid: number): number {
  return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}
