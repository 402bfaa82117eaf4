import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, renameSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  DescriptorBudget,
  FileUnavailable,
  HostFiles,
  KeptFile,
} from "../../src/sources/host-files.ts";
import { TemporaryTree, withoutPrivilege } from "../setup/temporary-tree.ts";

function reasonOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof FileUnavailable) return error.reason;
    throw error;
  }
  return "read";
}

describe("the host's files", () => {
  it("are below their roots, wherever those are mounted", () => {
    const files = new HostFiles({ procfs: "/host/proc", sysfs: "/host/sys", rootfs: "/host" });
    expect(files.procfs("1", "status")).toBe("/host/proc/1/status");
    expect(files.sysfs("fs/cgroup")).toBe("/host/sys/fs/cgroup");
    expect(files.rootfs("etc", "localtime")).toBe("/host/etc/localtime");
  });

  it.each([0, 1, 2047, 2048, 4096, 64 * 1024 - 1, 64 * 1024, 300_000])(
    "are read whole at %i bytes, whatever was read before",
    (size) => {
      const tree = new TemporaryTree();
      const files = new HostFiles(tree.roots);
      const text = "x".repeat(size);
      tree.write("proc", { before: "y".repeat(5000), file: text });
      files.text(files.procfs("before"));
      expect(files.text(files.procfs("file"))).toBe(`${text}\n`);
    },
  );

  it("that are missing, refused or no files say which", () => {
    const tree = new TemporaryTree();
    const files = new HostFiles(tree.roots);
    tree.write("proc", { secret: "x" });
    chmodSync(files.procfs("secret"), 0);
    mkdirSync(files.procfs("directory"));
    expect(reasonOf(() => files.read(files.procfs("none")))).toBe("missing");
    expect(reasonOf(() => files.read(files.procfs("secret", "below")))).toBe("missing");
    expect(withoutPrivilege(() => reasonOf(() => files.read(files.procfs("secret"))))).toBe(
      "denied",
    );
    expect(reasonOf(() => files.read(files.procfs("directory")))).toBe("failed");
    expect(() => files.read(files.procfs("none"))).toThrow(`${files.procfs("none")}: ENOENT`);
  });

  it("that cannot be read give no text if that is allowed", () => {
    const tree = new TemporaryTree();
    const files = new HostFiles(tree.roots);
    expect(files.textIfReadable(files.procfs("none"))).toBeUndefined();
  });
});

describe("a kept file", () => {
  function keptFile(budget: number) {
    const tree = new TemporaryTree();
    const files = new HostFiles(tree.roots);
    const descriptors = new DescriptorBudget(budget);
    const kept = new KeptFile(files.procfs(), "value", files, descriptors);
    const read = () => files.bytes.toString("utf8", 0, kept.read()).trim();
    return { tree, kept, read, descriptors };
  }

  it.each([0, 1])("shows the current content, with %i descriptors available", (budget) => {
    const { tree, read } = keptFile(budget);
    tree.write("proc", { value: 1 });
    expect(read()).toBe("1");
    tree.write("proc", { value: 22 });
    expect(read()).toBe("22");
    tree.write("proc", { value: 3 });
    expect(read()).toBe("3");
  });

  it("stays with the object it was opened on; without a descriptor the path decides", () => {
    for (const [budget, expected] of [
      [1, "old"],
      [0, "new"],
    ] as const) {
      const { tree, read, kept } = keptFile(budget);
      tree.write("proc", { value: "old", other: "new" });
      read();
      renameSync(tree.path("proc/other"), tree.path("proc/value"));
      expect(read()).toBe(expected);
      expect(kept.isKept).toBe(budget === 1);
    }
  });

  it("releases its descriptor when it is closed or could not be opened", () => {
    const { tree, kept, read, descriptors } = keptFile(1);
    expect(reasonOf(read)).toBe("missing");
    tree.write("proc", { value: 1 });
    read();
    expect(descriptors.take()).toBe(false);
    kept.close();
    kept.close();
    expect(descriptors.take()).toBe(true);
    expect(descriptors.take()).toBe(false);
  });

  it("of a dead process is reported as vanished, and releases its descriptor", async () => {
    const files = new HostFiles({ procfs: "/proc", sysfs: "/sys", rootfs: "/" });
    const descriptors = new DescriptorBudget(1);
    const child = spawn("sleep", ["60"]);
    await once(child, "spawn");
    const kept = new KeptFile(files.procfs(`${child.pid}`), "oom_score", files, descriptors);
    expect(kept.read()).toBeGreaterThan(0);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(reasonOf(() => kept.read())).toBe("vanished");
    expect(kept.isKept).toBe(false);
    expect(reasonOf(() => kept.read())).toBe("missing");
    expect(descriptors.take()).toBe(true);
  });
});
