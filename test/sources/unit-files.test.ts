import { beforeEach, expect, it } from "vitest";
import { HostFiles } from "../../src/sources/host-files.ts";
import { UnitFiles } from "../../src/sources/unit-files.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";

let tree: TemporaryTree;
beforeEach(() => {
  tree = new TemporaryTree();
});

const textsOf = (unit: string) => {
  const files = new HostFiles({ procfs: "/none", sysfs: "/none", rootfs: tree.path("") });
  return new UnitFiles(files).textsOf(unit).map((text) => text.trim());
};

it("a unit has the file of the first directory, then its drop-ins by name, the most general first", () => {
  tree.write("usr/lib/systemd/system", { "user@.service": "shipped" });
  tree.write("etc/systemd/system", { "user@.service": "own" });
  tree.write("usr/lib/systemd/system/service.d", { "10-all.conf": "all services" });
  tree.write("usr/lib/systemd/system/user@.service.d", {
    "20-x.conf": "shipped 20",
    "30-y.conf": "shipped 30",
  });
  tree.write("etc/systemd/system/user@.service.d", { "20-x.conf": "own 20", "readme.txt": "no" });
  tree.write("run/systemd/transient/user@7.service.d", { "50-z.conf": "only 7" });
  expect(textsOf("user@7.service")).toEqual([
    "own",
    "all services",
    "own 20",
    "shipped 30",
    "only 7",
  ]);
  expect(textsOf("user@8.service")).toHaveLength(4);
});

it("a unit has what systemctl set-property wrote, for good or until the next boot, and what is installed by hand", () => {
  tree.write("usr/lib/systemd/system", { "app.service": "shipped" });
  tree.write("usr/local/lib/systemd/system", { "app.service": "local" });
  tree.write("etc/systemd/system.control/app.service.d", { "50-MemoryMax.conf": "for good" });
  tree.write("run/systemd/system.control/app.service.d", { "50-MemoryHigh.conf": "until boot" });
  expect(textsOf("app.service")).toEqual(["local", "until boot", "for good"]);
});

it("a unit takes the drop-ins of what its name begins with", () => {
  tree.write("etc/systemd/system/user-.slice.d", { "10-a.conf": "users" });
  tree.write("etc/systemd/system/-.slice.d", { "10-root.conf": "root" });
  expect(textsOf("user-1000.slice")).toEqual(["users"]);
  expect(textsOf("-.slice")).toEqual(["root"]);
  expect(textsOf("other.slice")).toEqual([]);
});
