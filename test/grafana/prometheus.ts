import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually } from "../setup/exporter-process.ts";

export interface Series {
  metric: Record<string, string>;
  /** Of an instant query. */
  value?: [number, string];
  /** Of a range query. */
  values?: [number, string][];
}

/** A real Prometheus of the test's own. */
export interface PrometheusProcess {
  /** GET below /api/v1; rejects with the server's own words where it refuses. */
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
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(
    program,
    [
      `--config.file=${directory}/prometheus.yml`,
      `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=${address}`,
      "--log.level=warn",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let log = "";
  child.stderr.on("data", (chunk) => {
    log += chunk;
  });
  const end = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await eventually("Prometheus is ready", async () => {
      if (child.exitCode !== null) throw new Error(`Prometheus ended: ${log}`);
      const ready = await fetch(`http://${address}/-/ready`).catch(() => undefined);
      return ready?.ok;
    });
  } catch (error) {
    await end();
    throw error;
  }
  return {
    end,
    async api(path, parameters) {
      const url = new URL(`http://${address}/api/v1/${path}`);
      for (const [name, values] of Object.entries(parameters)) {
        for (const value of [values].flat()) url.searchParams.append(name, value);
      }
      const answer = (await (await fetch(url)).json()) as { status: string; error?: string };
      if (answer.status !== "success") throw new Error(answer.error);
      return (answer as { data?: never }).data as never;
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === "string") reject(new Error("no port"));
        else resolve(address.port);
      });
    });
  });
}
