import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  fromHierarchyRoot,
  isOutsideNamespace,
  memoryCgroupOf,
} from "../../src/kernel/process-cgroup.ts";

describe("/proc/PID/cgroup", () => {
  it("has one line on v2", () => {
    expect(memoryCgroupOf("0::/system.slice/nginx.service\n")).toBe("/system.slice/nginx.service");
  });

  it("has the memory hierarchy's line on v1 and hybrid, alone or with other controllers", () => {
    const text = "5:cpu,cpuacct:/a\n4:memory:/b/c\n1:name=systemd:/d\n0::/d\n";
    expect(memoryCgroupOf(text)).toBe("/b/c");
    expect(memoryCgroupOf("9:pids,memory:/x\n0::/y\n")).toBe("/x");
  });

  it("does not confuse the memory controller with others", () => {
    expect(memoryCgroupOf("3:name=memory:/wrong\n0::/right\n")).toBe("/right");
    expect(memoryCgroupOf("3:name=x:/wrong\n")).toBeUndefined();
  });

  it("keeps a colon in a path, and drops the mark of a removed cgroup", () => {
    expect(memoryCgroupOf("0::/a:b/c\n")).toBe("/a:b/c");
    expect(memoryCgroupOf("0::/gone (deleted)\n")).toBe("/gone");
  });

  it("returns nothing if it is empty", () => {
    expect(memoryCgroupOf("")).toBeUndefined();
  });
});

describe("a path as a cgroup namespace shows it", () => {
  it("is outside if it begins with ..", () => {
    expect(isOutsideNamespace("/..")).toBe(true);
    expect(isOutsideNamespace("/../../init.scope")).toBe(true);
    expect(isOutsideNamespace("/..hidden")).toBe(false);
    expect(isOutsideNamespace("/")).toBe(false);
  });

  it.each([
    ["/kubepods/pod1/exporter", "/", "/kubepods/pod1/exporter"],
    ["/kubepods/pod1/exporter", "/child", "/kubepods/pod1/exporter/child"],
    ["/kubepods/pod1/exporter", "/../pause", "/kubepods/pod1/pause"],
    [
      "/kubepods/pod1/exporter",
      "/../../../system.slice/sshd.service",
      "/system.slice/sshd.service",
    ],
    ["/kubepods/pod1/exporter", "/../../..", "/"],
    ["/", "/system.slice", "/system.slice"],
    ["/", "/", "/"],
  ])("from %s, %s is %s", (root, path, expected) => {
    expect(fromHierarchyRoot(root, path)).toBe(expected);
  });

  it("is unknown if it leads above the hierarchy's root", () => {
    expect(fromHierarchyRoot("/", "/..")).toBeUndefined();
    expect(fromHierarchyRoot("/a", "/../../b")).toBeUndefined();
  });

  it("can be reconstructed from any reader's root", () => {
    const names = fc.array(fc.constantFrom("a", "b", "c.slice"), { maxLength: 4 });
    fc.assert(
      fc.property(names, names, (readers, processes) => {
        let common = 0;
        while (common < readers.length && readers[common] === processes[common]) common++;
        const up = readers.slice(common).map(() => "..");
        const shown = `/${[...up, ...processes.slice(common)].join("/")}`;
        expect(fromHierarchyRoot(`/${readers.join("/")}`, shown)).toBe(`/${processes.join("/")}`);
      }),
    );
  });
});
