import { once } from "node:events";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parse, stringify } from "yaml";
import { debianTool } from "./debian-tools.ts";
import { type ServerProcess, startServer } from "./server-process.ts";

export interface Alert {
  status: "firing" | "resolved";
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

/** One webhook call of Alertmanager's. */
export interface Notification {
  arrivedMs: number;
  /** Where the shipped routing sends it: `/page`, `/ticket` or `/info`. */
  path: string;
  groupLabels: Record<string, string>;
  alerts: Alert[];
}

/** A page as people read it: the shipped templates in a chat message. */
export interface Message {
  title: string;
  text: string;
}

/** Prometheus and Alertmanager with the shipped rules and routing, and a receiver for what they send. */
export interface PagingStack {
  readonly notifications: readonly Notification[];
  readonly messages: readonly Message[];
  /** Instant query; the series with their values. */
  query(expression: string): Promise<{ metric: Record<string, string>; value: number }[]>;
  /** Names of the alerts that fire for an instance now. */
  firing(instance: string): Promise<string[]>;
  end(): Promise<void>;
}

export interface PagingStackOptions {
  /** `host:port` of the exporters; it is their `instance` too. */
  targets: readonly string[];
  /** Further labels of the targets. */
  labels?: Record<string, string>;
  /**
   * Scrapes, evaluates and waits in less than half of the shipped time, for what would keep a test
   * waiting for minutes. Otherwise nothing but addresses differs from what is shipped.
   */
  hurried?: boolean;
}

/** Why the stack is not available here, or `undefined` if it is. */
export async function pagingStackObstacle(): Promise<string | undefined> {
  for (const [name, path] of Object.values(programs)) {
    const { obstacle } = await debianTool(name, path);
    if (obstacle !== undefined) return obstacle;
  }
  return undefined;
}

const programs = {
  prometheus: ["prometheus", "usr/bin/prometheus"],
  alertmanager: ["prometheus-alertmanager", "usr/bin/prometheus-alertmanager"],
} as const;

/** Starts it on free loopback ports; `end` stops and removes everything. */
export async function startPagingStack(options: PagingStackOptions): Promise<PagingStack> {
  const directory = mkdtempSync(join(tmpdir(), "oom-exporter-paging-"));
  const notifications: Notification[] = [];
  const messages: Message[] = [];
  const receiver = await receive(notifications, messages);
  const servers: ServerProcess[] = [];
  const end = async () => {
    for (const server of servers) await server.end();
    receiver.close();
    receiver.closeAllConnections();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    writeAlertmanagerConfiguration(directory, options, receiver);
    const alertmanager = await startServer(await pathOf("alertmanager"), [
      `--config.file=${directory}/alertmanager.yml`,
      `--storage.path=${directory}/alertmanager-data`,
      "--cluster.listen-address=",
    ]);
    servers.push(alertmanager);
    writePrometheusConfiguration(directory, options, alertmanager.address);
    const prometheus = await startServer(await pathOf("prometheus"), [
      `--config.file=${directory}/prometheus.yml`,
      `--storage.tsdb.path=${directory}/prometheus-data`,
    ]);
    servers.push(prometheus);
    const api = async <Data>(path: string): Promise<Data> => {
      const answer = await (await fetch(`http://${prometheus.address}/api/v1/${path}`)).json();
      return (answer as { data: Data }).data;
    };
    return {
      notifications,
      messages,
      async query(expression) {
        type Answer = { result: { metric: Record<string, string>; value: [number, string] }[] };
        const { result } = await api<Answer>(`query?query=${encodeURIComponent(expression)}`);
        return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
      },
      async firing(instance) {
        type Answer = { alerts: { state: string; labels: Record<string, string> }[] };
        const { alerts } = await api<Answer>("alerts");
        return alerts
          .filter(({ state, labels }) => state === "firing" && labels.instance === instance)
          .map(({ labels }) => labels.alertname as string);
      },
      end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** A shipped file, with shorter intervals if it has to be fast. */
function write(directory: string, name: string, text: string, hurried: boolean): void {
  writeFileSync(join(directory, name), hurried ? hurry(text) : text);
}

function shipped(path: string): string {
  return readFileSync(resolve(path), "utf8");
}

/** The shipped file with the addresses replaced. */
function writePrometheusConfiguration(
  directory: string,
  { targets, labels, hurried = false }: PagingStackOptions,
  alertmanager: string,
): void {
  const prometheus = parse(shipped("docker/prometheus.yml"));
  prometheus.alerting.alertmanagers[0].static_configs[0].targets = [alertmanager];
  const [job] = prometheus.scrape_configs;
  job.static_configs = targets.map((target) => ({
    targets: [target],
    labels: { ...labels, instance: target },
  }));
  write(directory, "prometheus.yml", stringify(prometheus), hurried);

  mkdirSync(join(directory, "rules"));
  for (const name of readdirSync(resolve("prometheus-rules"))) {
    if (!name.endsWith(".yml")) continue;
    write(directory, `rules/${name}`, shipped(`prometheus-rules/${name}`), hurried);
  }
}

/** The shipped file with the address of the receiver, and the chat of the example. */
function writeAlertmanagerConfiguration(
  directory: string,
  { hurried = false }: PagingStackOptions,
  server: Server,
): void {
  const receiver = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const pager = /127\.0\.0\.1:10139/g;
  const alertmanager = parse(shipped("docker/alertmanager.yml").replace(pager, receiver)) as {
    receivers: { name: string; slack_configs?: unknown[] }[];
  };
  const examples = parse(shipped("docker/alertmanager.examples.yml"));
  const [chat] = (examples.receivers as typeof alertmanager.receivers).flatMap(
    ({ slack_configs }) => slack_configs ?? [],
  ) as Record<string, unknown>[];
  delete chat?.api_url_file;
  for (const kills of alertmanager.receivers.filter(({ name }) => name === "page-kill")) {
    kills.slack_configs = [{ ...chat, api_url: `http://${receiver}/slack` }];
  }
  write(directory, "alertmanager.yml", stringify(alertmanager), hurried);
  cpSync(resolve("docker/alertmanager/templates"), join(directory, "alertmanager/templates"), {
    recursive: true,
  });
}

const shorter: Record<string, string> = {
  "5s": "1s",
  "10s": "2s",
  "15s": "3s",
  "1m": "5s",
  "5m": "5s",
};

function hurry(text: string): string {
  return text.replace(
    /\b((?:\w+_)?interval|group_wait|scrape_timeout|for): (5s|10s|15s|1m|5m)$/gm,
    // Kills take the time they take: what waits for the last of a storm is not cut as short.
    (_, key, duration) => `${key}: ${key.startsWith("group_") ? "6s" : shorter[duration]}`,
  );
}

async function pathOf(program: keyof typeof programs): Promise<string> {
  const [name, inside] = programs[program];
  return (await debianTool(name, inside)).path as string;
}

async function receive(notifications: Notification[], messages: Message[]): Promise<Server> {
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    const body = JSON.parse(text);
    if (request.url === "/slack") messages.push(body.attachments[0]);
    else notifications.push({ ...body, arrivedMs: Date.now(), path: request.url ?? "" });
    response.end("ok");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}
