import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HostFiles } from "../../src/sources/host-files.ts";
import { readUncountedMemory } from "../../src/sources/uncounted-memory.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "uncounted-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const read = () =>
  readUncountedMemory(
    new HostFiles({ procfs: join(root, "proc"), sysfs: join(root, "sys"), rootfs: root }),
    4096,
  );

describe("memory without a kind of its own", () => {
  it("is the ZFS cache, all zram devices, and the pages of zram and zswap", () => {
    put("proc/spl/kstat/zfs/arcstats", "name type data\nsize 4 4096\n");
    put("proc/vmstat", "nr_free_pages 1\nnr_zspages 10\noom_kill 0\n");
    put("sys/block/zram0/mm_stat", "300 100 120 0\n");
    put("sys/block/zram1/mm_stat", "30 10 12 0\n");
    put("sys/block/sda/stat", "1 2 3\n");
    expect(read()).toEqual({
      arcBytes: 4096,
      zram: { storedBytes: 330, usedBytes: 132 },
      zspagesBytes: 40_960,
    });
  });

  it("is absent on a machine that has none of it", () => {
    expect(read()).toEqual({ arcBytes: undefined, zram: undefined, zspagesBytes: 0 });
  });
});
