import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startServer } from "../setup/server-process.ts";

export interface Series {
  metric: Record<string, string>;
  /** Of an instant query. */
  value?: [number, string];
  /** Of a range query. */
  values?: [number, string][];
}

/** A real Prometheus of the test's own. */
export interface PrometheusProcess {
  /** GET below /api/v1; rejects with the server's error message. */
  api<Data>(path: string, parameters: Record<string, string | string[]>): Promise<Data>;
  end(): Promise<void>;
}

const rules = fileURLToPath(new URL("../../prometheus-rules", import.meta.url));

/** Starts it with the shipped rules on a free loopback port; it scrapes the targets every second. */
export async function startPrometheus(
  program: string,
  targets: readonly string[],
): Promise<PrometheusProcess> {
  const directory = await mkdtemp(join(tmpdir(), "oom-exporter-prometheus-"));
  const config = {
    global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
    rule_files: [`${rules}/*.yml`],
    scrape_configs: [
      { job_name: "oom-exporter", honor_labels: true, static_configs: [{ targets }] },
    ],
  };
  await writeFile(join(directory, "prometheus.yml"), JSON.stringify(config));
  const server = await startServer(program, [
    `--config.file=${directory}/prometheus.yml`,
    `--storage.tsdb.path=${directory}/data`,
  ]);
  return {
    async end() {
      await server.end();
      await rm(directory, { recursive: true, force: true });
    },
    async api(path, parameters) {
      const url = new URL(`http://${server.address}/api/v1/${path}`);
      for (const [name, values] of Object.entries(parameters)) {
        for (const value of [values].flat()) url.searchParams.append(name, value);
      }
      const answer = (await (await fetch(url)).json()) as { status: string; error?: string };
      if (answer.status !== "success") throw new Error(answer.error);
      return (answer as { data?: never }).data as never;
    },
  };
}
