import { describe, expect, it } from "vitest";
import { parseProcessStatus } from "../../src/kernel/process-status.ts";
import { heldBytes, mebibyte } from "../setup/held-memory.ts";

function parsed(text: string) {
  const bytes = Buffer.from(text);
  return parseProcessStatus(
    Buffer.concat([bytes, Buffer.from("\nVmRSS:\t 9999 kB\n")]),
    bytes.length,
  );
}

const status = (name: string) =>
  `Name:\t${name}\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t812\nPid:\t812\nPPid:\t7\nUid:\t33\t34\t35\t36\nVmPeak:\t  60000 kB\nVmRSS:\t   48516 kB\nRssAnon:\t   40000 kB\nVmPTE:\t     132 kB\nVmSwap:\t      12 kB\nThreads:\t1\n`;

describe("/proc/PID/status", () => {
  it("identifies a process and the memory a kill would free", () => {
    expect(parsed(status("nginx: worker"))).toEqual({
      comm: "nginx: worker",
      parentPid: 7,
      uid: 33,
      memory: {
        residentBytes: 48516 * 1024,
        swapBytes: 12 * 1024,
        pageTablesBytes: 132 * 1024,
      },
      threads: 1,
      isAdmin: false,
    });
  });

  it.each([
    ["000001ffffffffff", true],
    ["000001fffeffffff", true],
    ["0000000000200000", true],
    ["000001ffffdfffff", false],
    ["0000000000000000", false],
  ])("checks CapEff %s for CAP_SYS_ADMIN: %s", (capabilities, isAdmin) => {
    expect(parsed(`${status("x")}CapEff:\t${capabilities}\n`).isAdmin).toBe(isAdmin);
  });

  it.each([
    ["a\\nb", "a\nb"],
    ["back\\\\slash", "back\\slash"],
    ["\\\\n", "\\n"],
    ['qu"ote', 'qu"ote'],
    [" two  blanks ", " two  blanks "],
    ["VmRSS:\t 1 kB", "VmRSS:\t 1 kB"],
    ["schöner Name", "schöner Name"],
    ["", ""],
  ])("undoes the kernel's escapes in the name %j", (written, comm) => {
    expect(parsed(status(written)).comm).toBe(comm);
    expect(parsed(status(written)).memory?.residentBytes).toBe(48516 * 1024);
  });

  it("adds the middle page tables, which 4.0 to 4.14 count apart", () => {
    const text = status("x").replace("VmSwap", "VmPMD:\t      16 kB\nVmSwap");
    expect(parsed(text).memory?.pageTablesBytes).toBe((132 + 16) * 1024);
  });

  it("has no memory for a kernel thread or a zombie", () => {
    const text = "Name:\tkworker/0:1\nState:\tI (idle)\nPPid:\t2\nUid:\t0\t0\t0\t0\nThreads:\t1\n";
    expect(parsed(text)).toMatchObject({ comm: "kworker/0:1", parentPid: 2, memory: undefined });
  });
});

it("keeps a name without the file that it was read from", () => {
  const names = () =>
    Array.from({ length: 500 }, (_, pid) => {
      const bytes = Buffer.from(`${status(`worker-${10_000_000 + pid}`)}${"x".repeat(30_000)}`);
      return parseProcessStatus(bytes, bytes.length).comm;
    });
  expect(heldBytes(names)).toBeLessThan(mebibyte);
});
