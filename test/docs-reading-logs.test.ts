import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { explain } from "../src/commands/explain.ts";
import type { Kill } from "../src/kills/kill.ts";

/* Each sample of docs/reading-logs.md tells of one kill, those under "What is not read" of none. */

interface Sample {
  section: string;
  form: string;
  text: string;
}

function samplesOf(page: string): Sample[] {
  const samples: Sample[] = [];
  let [section, form] = ["", ""];
  for (const part of page.matchAll(/^## (.+)$|^### (.+)$|^```text\n([\s\S]*?)\n```$/gm)) {
    section = part[1] ?? section;
    form = part[2] ?? form;
    if (part[3] !== undefined) samples.push({ section, form, text: part[3] });
  }
  return samples;
}

const page = readFileSync(new URL("../docs/reading-logs.md", import.meta.url), "utf8");
const samples = samplesOf(page);
const unread = samples.filter(({ section }) => section === "What is not read");
const read = samples.filter((sample) => !unread.includes(sample));

async function killsIn(text: string): Promise<Kill[]> {
  let stdout = "";
  await explain(["--json", "-"], {
    stdout: { write: (line) => (stdout += line) },
    stderr: { write: () => true },
    stdin: (async function* () {
      yield Buffer.from(`${text}\n`);
    })(),
    clock: () => Date.parse("2026-11-21T00:00:00Z"),
    rootfs: "/no/such/root",
    env: {},
  });
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

const sizes = { totalVmBytes: 50304 * 1024, anonRssBytes: 48516 * 1024, shmemRssBytes: 708 * 1024 };

describe("the logs that docs/reading-logs.md lists", () => {
  it("have a sample for each form", () => {
    expect(samples.map(({ form }) => form)).toEqual(
      [...page.matchAll(/^### (.+)$/gm)].map(([, form]) => form),
    );
    expect([read.length > 40, unread.length]).toEqual([true, 8]);
  });

  it.each(read)("are read as said: $form", async ({ text, section, form }) => {
    const kills = await killsIn(text);
    const hasSizes = !form.includes("without its sizes");
    const rest = hasSizes ? { uid: 0, oomScoreAdj: 0, memory: sizes } : {};
    expect(kills).toMatchObject([{ pid: 226, comm: "greedy", constraint: "memcg", ...rest }]);
    if (section.startsWith("Stores")) {
      expect(kills[0]?.time).toMatch(/^2026-11-20T13:23:5[01]/);
    }
    const isQuoted = /sentence|Kubernetes|node-problem-detector|written down|another tag/.test(
      form,
    );
    expect(kills[0]?.source.secondHand === true).toBe(isQuoted);
  });

  it.each(unread)("are not read as said: $form", async ({ text }) => {
    expect(await killsIn(text)).toEqual([]);
  });
});
