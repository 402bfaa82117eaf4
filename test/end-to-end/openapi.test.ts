import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type ExporterProcess,
  eventually,
  startExporter,
  temporaryDirectory,
} from "../setup/exporter-process.ts";
import { fixtureHost, hostNames } from "../setup/fixture-host.ts";
import { faultsOf, type Given, openApi, type Parameter } from "../setup/openapi.ts";

const logs = new URL("../fixtures/logs/", import.meta.url);

let directory: ReturnType<typeof temporaryDirectory>;
let exporters: Map<string, ExporterProcess>;

/** Exporters on every fixture host, one that read every recorded kill, one that can read nothing. */
beforeAll(async () => {
  directory = temporaryDirectory();
  const allKills = join(directory.path, "kern.log");
  writeFileSync(allKills, Buffer.concat(recordings()));
  const missing = join(directory.path, "missing");
  const flagsOf = new Map<string, string[]>([
    ["all kills", [`--kernel-log.file=${allKills}`, "--web.max-requests=1"]],
    ["blind", [`--path.procfs=${missing}`, `--path.sysfs=${missing}`, "--kernel-log.source=none"]],
  ]);
  for (const name of hostNames) {
    const { procfs, sysfs, rootfs } = fixtureHost(name);
    const roots = [`--path.procfs=${procfs}`, `--path.sysfs=${sysfs}`, `--path.rootfs=${rootfs}`];
    flagsOf.set(name, [...roots, "--kernel-log.source=file"]);
  }
  exporters = new Map();
  for (const [name, flags] of flagsOf) exporters.set(name, await startExporter(flags));
});

afterAll(async () => {
  await Promise.all([...exporters.values()].map((exporter) => exporter.end()));
  directory.remove();
});

function recordings(): Buffer[] {
  return readdirSync(logs)
    .filter((name) => name.endsWith(".kern.log.gz"))
    .map((name) => gunzipSync(readFileSync(new URL(name, logs))));
}

function exporterOn(name: string): ExporterProcess {
  return exporters.get(name) as ExporterProcess;
}

async function ask(
  name: string,
  path: string,
  url: string = path,
  headers: Record<string, string> = {},
): Promise<Given> {
  const response = await fetch(`${exporterOn(name).url}${url}`, { headers });
  const type = response.headers.get("content-type") ?? "";
  return { path, status: response.status, type, body: await response.text() };
}

const openMetrics = { accept: "application/openmetrics-text; version=1.0.0" };

describe("a running exporter answers as described in docs/openapi.yaml", () => {
  it.each([...hostNames, "all kills", "blind"])("on the host %s", async (name) => {
    const given = [
      await ask(name, "/api/v1/status"),
      await ask(name, "/api/v1/victims"),
      await ask(name, "/api/v1/victims", "/api/v1/victims?top=100000"),
      await ask(name, "/api/v1/kills", "/api/v1/kills?limit=1000"),
      await ask(name, "/metrics"),
      await ask(name, "/metrics", "/metrics?collect[]=host&collect[]=log", openMetrics),
      await ask(name, "/-/healthy"),
      await ask(name, "/"),
    ];
    for (const answer of given) expect(faultsOf(answer), answer.path).toEqual([]);
    expect(given.map(({ status }) => status)).toEqual(given.map(() => 200));
  });

  it("after reading the existing log", async () => {
    const ready = await eventually("ready", async () => {
      const answer = await ask("v2-systemd", "/-/ready");
      return answer.status === 200 && answer;
    });
    expect(faultsOf(ready)).toEqual([]);
  });

  it("with every kill that was recorded, and its page", async () => {
    const { kills } = JSON.parse((await ask("all kills", "/api/v1/kills")).body);
    expect(kills).toHaveLength(100);
    const page = await ask("all kills", "/kills/{incident}", `/kills/${kills[0].incident}`);
    expect(page.status).toBe(200);
    expect(faultsOf(page)).toEqual([]);
    const older = await ask(
      "all kills",
      "/api/v1/kills",
      `/api/v1/kills?before=${kills[99].incident}`,
    );
    expect(faultsOf(older)).toEqual([]);
    expect(JSON.parse(older.body).kills[0].incident).not.toBe(kills[99].incident);
  });

  it("about the victims in a cgroup, and about a missing cgroup", async () => {
    const { body } = await ask("v2-systemd", "/api/v1/victims", "/api/v1/victims?top=1");
    const [{ cgroup }] = JSON.parse(body).victims;
    const inside = await ask("v2-systemd", "/api/v1/victims", `/api/v1/victims?cgroup=${cgroup}`);
    expect(JSON.parse(inside.body).scope).toBe(cgroup);
    expect(faultsOf(inside)).toEqual([]);
    const nowhere = await ask("v2-systemd", "/api/v1/victims", "/api/v1/victims?cgroup=/nowhere");
    expect(nowhere.status).toBe(404);
    expect(faultsOf(nowhere)).toEqual([]);
  });

  it("where no kill has that incident", async () => {
    const given = await ask("v2-systemd", "/kills/{incident}", "/kills/0-0-0");
    expect(given.status).toBe(404);
    expect(faultsOf(given)).toEqual([]);
  });

  it("with one line for an invalid query", async () => {
    const given = [
      await ask("v2-systemd", "/api/v1/kills", "/api/v1/kills?since=yesterday"),
      await ask("v2-systemd", "/api/v1/kills", "/api/v1/kills?before=0-0-0"),
      await ask("v2-systemd", "/api/v1/victims", "/api/v1/victims?cgroup=/a&cgroup=/b"),
      await ask("v2-systemd", "/metrics", "/metrics?collect[]=disk"),
      await ask("v2-systemd", "/metrics", "/metrics?collect[]=host&exclude[]=log"),
    ];
    for (const answer of given) expect(faultsOf(answer), answer.body).toEqual([]);
    expect(given.map(({ status }) => status)).toEqual(given.map(() => 400));
  });

  it("with 503 to scrapes beyond --web.max-requests", async () => {
    const refused = await eventually("refused", async () => {
      const given = await Promise.all(
        Array.from({ length: 8 }, () => ask("all kills", "/metrics")),
      );
      return given.find(({ status }) => status === 503);
    });
    expect(faultsOf(refused)).toEqual([]);
  });

  const bounded = Object.entries(openApi.paths).flatMap(([path, { get }]) =>
    (get.parameters ?? [])
      .filter(({ schema }) => schema.type === "integer")
      .map(({ name, schema }): [path: string, name: string, schema: Parameter["schema"]] => [
        path,
        name,
        schema,
      ]),
  );

  it.each(bounded)(
    "%s accepts %s within its bounds and rejects it beyond them",
    async (path, name, schema) => {
      const { minimum = Number.NaN, maximum = Number.NaN } = schema;
      const statusOf = async (value: number | string) =>
        (await ask("v2-systemd", path, `${path}?${name}=${value}`)).status;
      expect(await Promise.all([minimum, maximum].map(statusOf))).toEqual([200, 200]);
      const beyond = [minimum - 1, maximum + 1, minimum + 0.5, "many"];
      expect(await Promise.all(beyond.map(statusOf))).toEqual([400, 400, 400, 400]);
    },
  );
});
