import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { sampleOf, startExporter, temporaryDirectory } from "../setup/exporter-process.ts";
import { fixtureHost } from "../setup/fixture-host.ts";

const { procfs, sysfs, rootfs } = fixtureHost("v2-systemd");

/** As the exporter seals it. */
function sealed(content: object): string {
  const body = JSON.stringify(content).slice(0, -1);
  const sum = createHash("sha256").update(body).digest("hex").slice(0, 16);
  return `${body},"sum":"${sum}"}\n`;
}

it("a state whose sum is right and whose contents are not is set aside, and counting starts at 0", async () => {
  const directory = temporaryDirectory();
  const killers = join(directory.path, "killers");
  mkdirSync(killers);
  for (const path of [directory.path, killers]) {
    writeFileSync(join(path, "state.json"), sealed({ version: 1, through: 1, state: { a: 1 } }));
  }
  const exporter = await startExporter([
    `--path.procfs=${procfs}`,
    `--path.sysfs=${sysfs}`,
    `--path.rootfs=${rootfs}`,
    `--state.directory=${directory.path}`,
  ]);
  expect(exporter.log().match(/not a state of this exporter/g)).toHaveLength(2);
  expect(sampleOf(await exporter.metrics(), 'oom_kills_total{constraint="none"}')).toBe(0);
  for (const path of [directory.path, killers]) {
    expect(readdirSync(path).some((name) => name.startsWith("state.json.damaged-"))).toBe(true);
  }
  await exporter.end();
  directory.remove();
});
