import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  type ExporterProcess,
  startExporter,
  temporaryDirectory,
} from "../setup/exporter-process.ts";
import { fixtureHost } from "../setup/fixture-host.ts";
import { needs } from "../setup/needs.ts";
import { chromiumObstacle, startChromium } from "./chromium.ts";
import { accessibilityFaults, openPage, type WatchedPage } from "./page-server.ts";

let browser: Browser;
let exporter: ExporterProcess | undefined;
let opened: WatchedPage | undefined;
let directory: ReturnType<typeof temporaryDirectory>;

beforeAll(async () => {
  browser = await startChromium();
  directory = temporaryDirectory();
});

afterEach(async () => {
  await opened?.close();
  await exporter?.end();
});

afterAll(async () => {
  await browser?.close();
  directory?.remove();
});

const killLine = (pid: number) =>
  `${new Date().toISOString()} host kernel: [${pid}.000001] Memory cgroup out of memory: Killed process ${pid} (mysqld) total-vm:9000kB, anon-rss:8000kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:44kB oom_score_adj:0\n`;

needs(describe, chromiumObstacle)("the page of a running exporter", () => {
  it("shows a kill on this machine without a reload, and links to its explanation", async () => {
    const log = join(directory.path, "kern.log");
    writeFileSync(log, "");
    exporter = await startExporter([`--kernel-log.file=${log}`]);
    opened = await openPage(browser, `${exporter.url}/`, {}, ({ clock }) => clock.install());
    const { page, wrongs } = opened;
    const list = page.getByRole("region", { name: "Latest kills" });
    await list.getByText("No kills known.").waitFor();
    writeFileSync(log, killLine(4242), { flag: "a" });
    const isThere = async () => {
      await page.clock.runFor(10_000);
      return list.getByRole("link", { name: "mysqld" }).count();
    };
    await expect.poll(isThere).toBe(1);
    expect(await page.textContent("h1")).toMatch(/killed .*: mysqld \(pid\s4242\)/);
    await list.getByRole("link", { name: "mysqld" }).click();
    await page.getByRole("heading", { level: 1, name: /the kernel killed mysqld/ }).waitFor();
    expect(wrongs).toEqual([]);
  });

  it.each(["v2-systemd", "kubernetes-node", "container-view"] as const)(
    "has no fault on the host %s",
    async (name) => {
      const { procfs, sysfs, rootfs } = fixtureHost(name);
      exporter = await startExporter([
        `--path.procfs=${procfs}`,
        `--path.sysfs=${sysfs}`,
        `--path.rootfs=${rootfs}`,
      ]);
      opened = await openPage(browser, `${exporter.url}/`, {
        viewport: { width: 320, height: 700 },
      });
      const { page, wrongs } = opened;
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(320);
      expect(await accessibilityFaults(page)).toEqual([]);
      expect(await page.textContent("main")).not.toMatch(/undefined|NaN|null|\[object/);
      expect(wrongs).toEqual([]);
    },
  );
});
