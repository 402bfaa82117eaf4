import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import type { HostRoots } from "../../src/sources/host-files.ts";

/** A small host tree of one test's own, removed when the test has finished. */
export class TemporaryTree {
  readonly roots: HostRoots;

  constructor() {
    const rootfs = mkdtempSync(join(tmpdir(), "oom-exporter-tree-"));
    chmodSync(rootfs, 0o755);
    this.roots = { rootfs, procfs: join(rootfs, "proc"), sysfs: join(rootfs, "sys") };
    mkdirSync(this.roots.procfs);
    mkdirSync(this.roots.sysfs);
    onTestFinished(() => rmSync(rootfs, { recursive: true, force: true }));
  }

  path(path: string): string {
    return join(this.roots.rootfs, path);
  }

  /** Writes files below a directory, with a line end each. */
  write(directory: string, files: Record<string, string | number>): void {
    for (const [name, text] of Object.entries(files)) {
      const path = this.path(join(directory, name));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, `${text}\n`);
    }
  }

  remove(path: string): void {
    rmSync(this.path(path), { recursive: true, force: true });
  }
}

/**
 * Runs `look` without root's right to read everything: as nobody where the test runs as root, as the
 * same user where not.
 */
export function withoutPrivilege<Result>(look: () => Result): Result {
  if (process.geteuid?.() !== 0) return look();
  const nobody = 65534;
  process.seteuid?.(nobody);
  try {
    return look();
  } finally {
    process.seteuid?.(0);
  }
}
