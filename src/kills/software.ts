/**
 * How to configure a program to stay within its memory, one line each. The pages in docs/software/ have details
 * and sources.
 *
 * A program is recognised by its command name or, if many programs share that name (`java`), by its unit,
 * container or pod.
 */
import type { Owner } from "./owner.ts";

export interface Software {
  name: string;
  /** Command names (`comm`, at most 15 bytes), of threads as well: a kill line may name a thread. */
  comms: RegExp;
  /** Names of units, containers and pods; if given, they must match too. */
  workloads?: RegExp;
  advice: string;
  page: string;
  /** Runs as many processes, each of which may be small. */
  hasManyProcesses?: boolean;
}

/** In the order in which they are tried. */
export const software: readonly Software[] = [
  {
    name: "Elasticsearch",
    comms: /^(?:java$|elasticsearch)/,
    workloads: /elasticsearch|opensearch/,
    advice:
      "Elasticsearch: give the heap at most half of the limit (-Xms and -Xmx with the same value, in jvm.options.d); the other half is for the page cache and memory outside the heap.",
    page: "docs/software/elasticsearch.md",
  },
  {
    name: "JVM",
    comms: /^java$/,
    advice:
      "Java: the limit covers the heap and everything outside it (metaspace, threads, direct buffers). Set -XX:MaxRAMPercentage=60, or -Xmx to that size, and inspect the rest with -XX:NativeMemoryTracking=summary.",
    page: "docs/software/jvm.md",
  },
  {
    name: "Node.js",
    comms: /^(?:node|nodejs|node-MainThread|MainThread|npm|npm .*|yarn|pnpm|next-server.*)$/,
    advice:
      "Node.js: set --max-old-space-size (MiB) to about three quarters of the limit, so that V8 collects garbage before the kernel kills; buffers are not included.",
    page: "docs/software/nodejs.md",
  },
  {
    name: "Python workers",
    comms: /^(?:python[0-9.]*|gunicorn.*|celery.*|\[celeryd:.*|uwsgi.*|uvicorn)$/,
    advice:
      "Python: replace growing workers after a number of requests (gunicorn --max-requests, celery --max-memory-per-child, uwsgi reload-on-rss), and run fewer of them.",
    page: "docs/software/python.md",
    hasManyProcesses: true,
  },
  {
    name: "PHP-FPM",
    comms: /^php-?(?:fpm|cgi)[0-9.]*$/,
    advice:
      "PHP-FPM: pm.max_children times the memory of one child must fit in the limit; pm.max_requests = 500 replaces children that grow.",
    page: "docs/software/php-fpm.md",
    hasManyProcesses: true,
  },
  {
    name: "MySQL and MariaDB",
    comms: /^(?:mysqld|mariadbd|mysqld_safe)$/,
    advice:
      "MySQL or MariaDB: innodb_buffer_pool_size and the buffers of max_connections connections must fit into the limit together; let systemd restart it with a delay (Restart=on-failure, RestartSec=30).",
    page: "docs/software/mysql.md",
  },
  {
    name: "PostgreSQL",
    comms: /^(?:postgres|postmaster)$/,
    advice:
      "PostgreSQL: work_mem applies to each sort and hash of each connection; lower work_mem or max_connections, and put a pooler in front. One killed backend makes the whole server restart.",
    page: "docs/software/postgresql.md",
    hasManyProcesses: true,
  },
  {
    name: "Redis",
    comms: /^(?:redis-server|valkey-server)$/,
    advice:
      "Redis or Valkey: set maxmemory below the limit, with a maxmemory-policy; a snapshot or rewrite copies every page written in the meantime, so leave room for that.",
    page: "docs/software/redis.md",
  },
  {
    name: "Browsers",
    comms:
      /^(?:chrome.*|Chrome_.*|chromium.*|headless_shell|firefox.*|Web Content|Isolated Web.*|Privileged Cont|WebKitWebProces|electron)$/,
    advice:
      "Browser: each page is a separate process. Open fewer at a time, close them when done and restart the browser from time to time; in a container check the size of /dev/shm.",
    page: "docs/software/browsers.md",
    hasManyProcesses: true,
  },
  {
    name: "Go",
    comms:
      /^(?:prometheus|alertmanager|grafana|grafana-server|dockerd|containerd|kubelet|kube-.*|etcd|traefik|caddy|influxd|telegraf|vault|consul|nomad|gitea|minio|loki|promtail|coredns|k3s.*|rclone|syncthing|victoria-.*|vmagent|go)$/,
    advice:
      "Go: set GOMEMLIMIT to about 90 % of the limit, so that the garbage collector runs before the kernel kills; memory that is really in use still needs a larger limit.",
    page: "docs/software/go.md",
  },
];

/** The program that a task runs, if it is in the table. */
export function softwareOf(comm: string, owner: Owner): Software | undefined {
  const workload = [owner.unit, owner.container, owner.pod].join(" ").toLowerCase();
  return software.find(
    ({ comms, workloads }) =>
      comms.test(comm) && (workloads === undefined || workloads.test(`${workload} ${comm}`)),
  );
}
