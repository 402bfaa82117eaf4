import { describe, expect, it } from "vitest";
import {
  parseLimit,
  parseMemoryEvents,
  parseMemoryStatV1,
  parseMemoryStatV2,
  parseOomControlKills,
  parseValue,
} from "../../src/kernel/memory-cgroup.ts";

function parsed<Value>(parse: (bytes: Buffer, length: number) => Value, text: string): Value {
  const length = Buffer.byteLength(text);
  // The reader's buffer is larger than the file and holds an older one.
  return parse(Buffer.from(`${text}9999\noom_kill 9999\n`), length);
}

describe("a memory cgroup's limit", () => {
  it("is a number of bytes", () => {
    expect(parsed(parseLimit, "268435456\n")).toBe(268435456);
    expect(parsed(parseLimit, "0\n")).toBe(0);
  });

  it.each([
    ["max\n", "v2"],
    ["9223372036854771712\n", "v1, 4 KiB pages"],
    ["9223372036854710272\n", "v1, 64 KiB pages"],
    ["9223372036854775807\n", "v1 before 3.19"],
  ])("is infinite for %j (%s)", (text) => {
    expect(parsed(parseLimit, text)).toBe(Number.POSITIVE_INFINITY);
  });

  it("is absent if the file is empty", () => {
    expect(parsed(parseLimit, "")).toBeUndefined();
    expect(parsed(parseValue, "")).toBeUndefined();
  });
});

describe("a memory cgroup's events", () => {
  it("are counts, and one that the kernel does not have is absent", () => {
    expect(parsed(parseMemoryEvents, "low 0\nhigh 0\nmax 26\noom 1\noom_kill 5\n")).toEqual({
      low: 0,
      high: 0,
      max: 26,
      oom: 1,
      oom_kill: 5,
    });
  });

  it("are in memory.oom_control on v1, since 4.13", () => {
    const control = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n";
    expect(parsed(parseOomControlKills, control)).toBe(2);
    expect(parsed(parseOomControlKills, "oom_kill_disable 0\nunder_oom 0\n")).toBeUndefined();
  });
});

describe("the composition of a memory cgroup", () => {
  it("comes from anon, file, shmem and inactive_file on v2", () => {
    const stat =
      "anon 1\nfile 20\nkernel 7\nshmem 3\nfile_mapped 5\ninactive_file 4\nactive_file 9\n";
    expect(parsed(parseMemoryStatV2, stat)).toEqual({
      anonBytes: 1,
      fileBytes: 20,
      shmemBytes: 3,
      inactiveFileBytes: 4,
    });
  });

  it("includes descendants on v1, as usage and limit do", () => {
    const stat =
      "cache 1\nrss 1\nshmem 1\nswap 1\ninactive_file 1\nhierarchical_memory_limit 67108864\nhierarchical_memsw_limit 9223372036854771712\ntotal_cache 20\ntotal_rss 30\ntotal_shmem 5\ntotal_swap 0\ntotal_inactive_file 8\n";
    expect(parsed(parseMemoryStatV1, stat)).toEqual({
      anonBytes: 30,
      fileBytes: 20,
      shmemBytes: 5,
      inactiveFileBytes: 8,
      swapBytes: 0,
      hierarchicalLimitBytes: 67108864,
    });
  });

  it("has an infinite hierarchical limit if no ancestor has one", () => {
    const stat = "hierarchical_memory_limit 9223372036854771712\n";
    expect(parsed(parseMemoryStatV1, stat).hierarchicalLimitBytes).toBe(Number.POSITIVE_INFINITY);
  });
});
