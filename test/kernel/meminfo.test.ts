import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Meminfo, memoryUse, parseMeminfo } from "../../src/kernel/meminfo.ts";

const text = `MemTotal:       24681792 kB
MemFree:        20531020 kB
MemAvailable:   23531020 kB
Buffers:           19220 kB
Cached:           531020 kB
SwapCached:            0 kB
AnonPages:        131072 kB
Shmem:             12288 kB
KReclaimable:      40960 kB
Slab:              81920 kB
SReclaimable:      40960 kB
SUnreclaim:        40960 kB
KernelStack:        4096 kB
PageTables:         8192 kB
SwapTotal:       2097148 kB
SwapFree:        2097148 kB
CommitLimit:    14438044 kB
Committed_AS:    1048576 kB
HugePages_Total:       2
HugePages_Free:        2
Hugepagesize:       2048 kB
Hugetlb:         1052672 kB
DirectMap4k:      100000 kB
`;

describe("/proc/meminfo", () => {
  it("returns bytes", () => {
    expect(parseMeminfo(text)).toEqual({
      memTotalBytes: 24681792 * 1024,
      memFreeBytes: 20531020 * 1024,
      memAvailableBytes: 23531020 * 1024,
      buffersBytes: 19220 * 1024,
      cachedBytes: 531020 * 1024,
      swapTotalBytes: 2097148 * 1024,
      swapFreeBytes: 2097148 * 1024,
      anonPagesBytes: 131072 * 1024,
      shmemBytes: 12288 * 1024,
      slabReclaimableBytes: 40960 * 1024,
      slabUnreclaimableBytes: 40960 * 1024,
      kernelStackBytes: 4096 * 1024,
      pageTablesBytes: 8192 * 1024,
      commitLimitBytes: 14438044 * 1024,
      committedAsBytes: 1048576 * 1024,
      hugetlbBytes: 1052672 * 1024,
    });
  });

  it("leaves out what an old kernel does not print", () => {
    const old = text.replace(/^(MemAvailable|Shmem|SwapTotal):.*\n/gm, "");
    const meminfo = parseMeminfo(old);
    expect(meminfo.memAvailableBytes).toBeUndefined();
    expect(meminfo.shmemBytes).toBeUndefined();
    expect(meminfo.swapTotalBytes).toBeUndefined();
    expect(meminfo.memTotalBytes).toBe(24681792 * 1024);
  });

  it("before 4.15 knows the huge pages of the default size", () => {
    const old = text.replace(/^Hugetlb:.*\n/m, "");
    expect(parseMeminfo(old).hugetlbBytes).toBe(2 * 2048 * 1024);
  });

  it("is refused if MemTotal or MemFree is missing", () => {
    expect(() => parseMeminfo("")).toThrow("MemTotal");
    expect(() => parseMeminfo("MemTotal: 1 kB\n")).toThrow("MemFree");
  });
});

describe("where the memory went", () => {
  const kib = 1024;

  it("counts shared memory once, though the kernel has it in Cached too", () => {
    const use = memoryUse(parseMeminfo(text));
    expect(use.page_cache).toBe((531020 + 19220 - 12288) * kib);
    expect(use.shmem).toBe(12288 * kib);
  });

  it("names what no field claims other", () => {
    const use = memoryUse({ memTotalBytes: 1000 * kib, memFreeBytes: 400 * kib });
    expect(use).toMatchObject({ other: 600 * kib, anon: 0, page_cache: 0 });
  });

  it("subtracts memory that the kernel counts elsewhere from other, but never more than is left", () => {
    const meminfo = {
      memTotalBytes: 1000,
      memFreeBytes: 400,
      anonPagesBytes: 100,
      kernelStackBytes: 20,
      percpuBytes: 30,
      vmallocUsedBytes: 70,
      balloonBytes: 1000,
    };
    expect(memoryUse(meminfo, 80)).toMatchObject({
      kernel_stack: 20,
      percpu: 30,
      // Kernel stacks are mapped with vmalloc().
      vmalloc: 50,
      zspages: 80,
      balloon: 320,
      other: 0,
    });
    expect(memoryUse({ ...meminfo, vmallocUsedBytes: 0 }, 0)).toMatchObject({ vmalloc: 0 });
  });

  it("subtracts an excess of the parts from the largest", () => {
    const use = memoryUse({
      memTotalBytes: 100,
      memFreeBytes: 40,
      anonPagesBytes: 50,
      cachedBytes: 20,
    });
    expect(use).toMatchObject({ anon: 40, page_cache: 20, other: 0 });
  });

  it("has kinds that are never negative and add up to MemTotal - MemFree", () => {
    const size = fc.option(fc.nat(), { nil: undefined });
    const meminfos: fc.Arbitrary<Meminfo> = fc.record({
      memTotalBytes: fc.integer({ min: 2 ** 20, max: 2 ** 33 }),
      memFreeBytes: fc.nat(2 ** 20),
      buffersBytes: size,
      cachedBytes: size,
      anonPagesBytes: size,
      shmemBytes: size,
      slabReclaimableBytes: size,
      slabUnreclaimableBytes: size,
      kernelStackBytes: size,
      pageTablesBytes: size,
      hugetlbBytes: size,
      percpuBytes: size,
      vmallocUsedBytes: size,
      balloonBytes: size,
    });
    fc.assert(
      fc.property(meminfos, size, (meminfo, zspagesBytes) => {
        const kinds = Object.values(memoryUse(meminfo, zspagesBytes)) as number[];
        for (const bytes of kinds) expect(bytes).toBeGreaterThanOrEqual(0);
        const sum = kinds.reduce((total, bytes) => total + bytes, 0);
        expect(sum).toBe(meminfo.memTotalBytes - meminfo.memFreeBytes);
      }),
    );
  });
});
