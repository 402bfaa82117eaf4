import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { HostFiles } from "../../src/sources/host-files.ts";
import { addressSpaceOf } from "../../src/victims/address-space.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";

const stackPage = 5;
const syscall = `35 0x7ffe 0x0 0x0 0x0 0x0 0x0 0x${(stackPage * 4096 + 0x120).toString(16)} 0x401234\n`;

/** As pagemap shows it: bit 63 is "present", bits 55 to 61 are flags. */
function pagemap(frame: bigint, flags = 1n << 63n): Buffer {
  const entries = Buffer.alloc(8 * (stackPage + 3));
  entries.writeBigUInt64LE(frame | flags, 8 * stackPage);
  return entries;
}

interface Shown {
  syscall?: string;
  pagemap?: Buffer;
}

function hostOf(tasks: Record<string, Shown>) {
  const host = new TemporaryTree();
  for (const [task, shown] of Object.entries(tasks)) {
    host.write(`proc/${task}`, { syscall: shown.syscall ?? "running" });
    if (shown.pagemap !== undefined) {
      writeFileSync(host.path(`proc/${task}/pagemap`), shown.pagemap);
    }
  }
  return new HostFiles(host.roots);
}

describe("two tasks", () => {
  it("share an address space if the stack page of one is the same page in the other", () => {
    const files = hostOf({
      "10": { syscall, pagemap: pagemap(0x1234n) },
      "11/task/12": { pagemap: pagemap(0x1234n, (1n << 63n) | (1n << 56n)) },
    });
    expect(addressSpaceOf(files, "10", 4096)("11/task/12")).toBe(true);
  });

  it.each<[string, Shown, bigint?]>([
    ["the page is another one, as after a fork", { pagemap: pagemap(0x1235n) }],
    ["the other has none there", { pagemap: pagemap(0n, 0n) }],
    ["page frames are hidden from this user", { pagemap: pagemap(0n) }, 0n],
    ["the other's memory ends before", { pagemap: Buffer.alloc(8) }],
    ["pagemap is not to be read", {}],
  ])("are not known to share one if %s", (_, other, frame = 0x1234n) => {
    const files = hostOf({ "10": { syscall, pagemap: pagemap(frame) }, "11": other });
    expect(addressSpaceOf(files, "10", 4096)("11")).toBe(false);
  });

  it.each(["running\n", "", "-1 0x0 0x0\n"])(
    "do not if the stack pointer is unknown: %j",
    (text) => {
      const both = { syscall: text, pagemap: pagemap(0x1234n) };
      const files = hostOf({ "10": both, "11": both });
      expect(addressSpaceOf(files, "10", 4096)("11")).toBe(false);
    },
  );
});
