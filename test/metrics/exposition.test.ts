import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LabelsOf } from "../../src/metrics/catalog.ts";
import { renderExposition, Samples } from "../../src/metrics/exposition.ts";

function owner(cgroup: string): LabelsOf<"oom_cgroup_memory_max_bytes"> {
  return { cgroup, unit: "", container: "", pod: "", namespace: "" };
}

function sampleSet(): Samples {
  const samples = new Samples();
  samples.add("oom_cgroup_memory_max_bytes", Number.POSITIVE_INFINITY, owner("/"));
  samples.add("oom_cgroup_memory_max_bytes", 536870912, owner("/web"));
  samples.add("oom_kernel_kills_total", 3, {});
  samples.add("oom_host_memory_stall_seconds_total", 0.25, { kind: "some" });
  return samples;
}

describe("renderExposition", () => {
  it("prints text 0.0.4 in the order of the catalog", async () => {
    expect(String(await renderExposition(sampleSet(), "text"))).toMatchInlineSnapshot(`
      "# HELP oom_host_memory_stall_seconds_total Time during which some or all non-idle tasks of the host were stalled on memory, from /proc/pressure/memory field total.
      # TYPE oom_host_memory_stall_seconds_total counter
      oom_host_memory_stall_seconds_total{kind="some"} 0.25

      # HELP oom_kernel_kills_total The kernel's count of out-of-memory kills since boot, host-wide and in cgroups, from /proc/vmstat field oom_kill.
      # TYPE oom_kernel_kills_total counter
      oom_kernel_kills_total 3

      # HELP oom_cgroup_memory_max_bytes The cgroup's own hard limit, absent if there is none, from memory.max (v1: memory.limit_in_bytes).
      # TYPE oom_cgroup_memory_max_bytes gauge
      oom_cgroup_memory_max_bytes{cgroup="/",unit="",container="",pod="",namespace=""} +Inf
      oom_cgroup_memory_max_bytes{cgroup="/web",unit="",container="",pod="",namespace=""} 536870912
      "
    `);
  });

  it("prints OpenMetrics 1.0 with _total on the sample only and an end mark", async () => {
    expect(String(await renderExposition(sampleSet(), "openmetrics"))).toMatchInlineSnapshot(`
      "# HELP oom_host_memory_stall_seconds Time during which some or all non-idle tasks of the host were stalled on memory, from /proc/pressure/memory field total.
      # TYPE oom_host_memory_stall_seconds counter
      oom_host_memory_stall_seconds_total{kind="some"} 0.25
      # HELP oom_kernel_kills The kernel's count of out-of-memory kills since boot, host-wide and in cgroups, from /proc/vmstat field oom_kill.
      # TYPE oom_kernel_kills counter
      oom_kernel_kills_total 3
      # HELP oom_cgroup_memory_max_bytes The cgroup's own hard limit, absent if there is none, from memory.max (v1: memory.limit_in_bytes).
      # TYPE oom_cgroup_memory_max_bytes gauge
      oom_cgroup_memory_max_bytes{cgroup="/",unit="",container="",pod="",namespace=""} +Inf
      oom_cgroup_memory_max_bytes{cgroup="/web",unit="",container="",pod="",namespace=""} 536870912
      # EOF
      "
    `);
  });

  it("prints the same text whether or not OpenMetrics was printed before", async () => {
    const samples = sampleSet();
    const before = String(await renderExposition(samples, "text"));
    await renderExposition(samples, "openmetrics");
    expect(String(await renderExposition(samples, "text"))).toBe(before);
  });

  it("prints NaN and the infinities as both formats spell them", async () => {
    const samples = new Samples();
    samples.add("oom_cgroup_memory_max_bytes", Number.NaN, owner(" Nan"));
    samples.add("oom_cgroup_memory_max_bytes", Number.NEGATIVE_INFINITY, owner("/low"));
    const text = String(await renderExposition(samples, "openmetrics"));
    expect(text).toContain('{cgroup=" Nan",unit="",container="",pod="",namespace=""} NaN\n');
    expect(text).toContain('{cgroup="/low",unit="",container="",pod="",namespace=""} -Inf\n');
  });

  it("keeps both ends of a value over 256 bytes around a hash of the whole, whatever the label", async () => {
    const unit = `${"a".repeat(300)}.service`;
    const labels = {
      cgroup: `/${"é".repeat(200)}/${"日".repeat(200)}`,
      unit,
      container: "c".repeat(256),
      pod: "",
      namespace: "",
    };
    const samples = new Samples();
    samples.add("oom_cgroup_memory_max_bytes", 1, labels);
    const line = String(await renderExposition(samples, "text")).split("\n")[2] as string;
    const values = [...line.matchAll(/"([^"]*)"/g)].map(([, value]) => value as string);
    const hash = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);
    expect(values).toEqual([
      `/${"é".repeat(58)}...${hash(labels.cgroup)}...${"日".repeat(39)}`,
      `${"a".repeat(117)}...${hash(unit)}...${"a".repeat(109)}.service`,
      "c".repeat(256),
      "",
      "",
    ]);
    for (const value of values) expect(Buffer.byteLength(value)).toBeLessThanOrEqual(256);
  });

  it("round-trips any label value that a process or a log can contain", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary" }), async (comm) => {
        const samples = new Samples();
        samples.add("oom_command_kills_total", 1, { comm });
        const text = String(await renderExposition(samples, "text"));
        const lines = text.trimEnd().split("\n");
        expect(lines).toHaveLength(3);
        const printed = /^oom_command_kills_total\{comm="(.*)"\} 1$/s.exec(lines[2] as string)?.[1];
        expect(readLabelValue(printed as string)).toBe(comm);
      }),
      { numRuns: 300 },
    );
  });
});

/** Reads a label value as the Prometheus text format defines it. */
function readLabelValue(printed: string): string {
  expect(printed).not.toMatch(/(?<!\\)(\\\\)*"/);
  return printed.replace(/\\(.)/gs, (_, character) => (character === "n" ? "\n" : character));
}
