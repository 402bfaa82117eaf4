/**
 * What a program can do itself to stay within its memory, one line each. The pages in docs/software/
 * say more and name their sources.
 *
 * A program is known by its command name, or, where many programs share that name (`java`), by the
 * unit, container or pod that it runs in.
 */
import type { Owner } from "./owner.ts";

export interface Software {
  name: string;
  /** Command names (`comm`, at most 15 bytes), of threads as well: a kill line may name a thread. */
  comms: RegExp;
  /** Names of units, containers and pods; where given they must match, too. */
  workloads?: RegExp;
  advice: string;
  page: string;
}

/** In the order in which they are tried. */
export const software: readonly Software[] = [
  {
    name: "Elasticsearch",
    comms: /^(?:java$|elasticsearch)/,
    workloads: /elasticsearch|opensearch/,
    advice:
      "Elasticsearch: give the heap at most half of the limit (-Xms and -Xmx alike, in jvm.options.d); the other half is for the page cache and for memory outside of the heap.",
    page: "docs/software/elasticsearch.md",
  },
  {
    name: "JVM",
    comms: /^java$/,
    advice:
      "Java: the limit holds the heap and everything outside of it (metaspace, threads, direct buffers). Set -XX:MaxRAMPercentage=60, or an -Xmx of that size, and see the rest with -XX:NativeMemoryTracking=summary.",
    page: "docs/software/jvm.md",
  },
  {
    name: "Node.js",
    comms: /^(?:node|nodejs|node-MainThread|MainThread|npm|npm .*|yarn|pnpm|next-server.*)$/,
    advice:
      "Node.js: set --max-old-space-size (MiB) to about three quarters of the limit, so that V8 collects before the kernel kills; buffers are outside of it.",
    page: "docs/software/nodejs.md",
  },
  {
    name: "Python workers",
    comms: /^(?:python[0-9.]*|gunicorn.*|celery.*|\[celeryd:.*|uwsgi.*|uvicorn)$/,
    advice:
      "Python: have workers that grow replaced after so many requests (gunicorn --max-requests, celery --max-memory-per-child, uwsgi reload-on-rss), and run fewer of them.",
    page: "docs/software/python.md",
  },
  {
    name: "PHP-FPM",
    comms: /^php-?(?:fpm|cgi)[0-9.]*$/,
    advice:
      "PHP-FPM: pm.max_children times the memory of one child must fit; pm.max_requests = 500 replaces children that grow.",
    page: "docs/software/php-fpm.md",
  },
  {
    name: "MySQL and MariaDB",
    comms: /^(?:mysqld|mariadbd|mysqld_safe)$/,
    advice:
      "MySQL or MariaDB: innodb_buffer_pool_size and the buffers of max_connections connections must fit together; let systemd restart it with a cooldown (Restart=on-failure, RestartSec=30).",
    page: "docs/software/mysql.md",
  },
  {
    name: "PostgreSQL",
    comms: /^(?:postgres|postmaster)$/,
    advice:
      "PostgreSQL: work_mem holds for each sort and hash of each connection; lower work_mem or max_connections, and put a pooler in front. One killed backend makes the whole server restart.",
    page: "docs/software/postgresql.md",
  },
  {
    name: "Redis",
    comms: /^(?:redis-server|valkey-server)$/,
    advice:
      "Redis or Valkey: set maxmemory below the limit, with a maxmemory-policy; a snapshot or rewrite copies what is written meanwhile, so leave room for that.",
    page: "docs/software/redis.md",
  },
  {
    name: "Browsers",
    comms:
      /^(?:chrome.*|Chrome_.*|chromium.*|headless_shell|firefox.*|Web Content|Isolated Web.*|Privileged Cont|WebKitWebProces|electron)$/,
    advice:
      "Browser: each page is a process of its own. Open fewer at a time, close them when done and restart the browser from time to time; in a container mind the size of /dev/shm.",
    page: "docs/software/browsers.md",
  },
  {
    name: "Go",
    comms:
      /^(?:prometheus|alertmanager|grafana|grafana-server|dockerd|containerd|kubelet|kube-.*|etcd|traefik|caddy|influxd|telegraf|vault|consul|nomad|gitea|minio|loki|promtail|coredns|k3s.*|rclone|syncthing|victoria-.*|vmagent|go)$/,
    advice:
      "Go: set GOMEMLIMIT to about 90 % of the limit, so that it collects before the kernel kills; memory that is really in use needs a larger limit all the same.",
    page: "docs/software/go.md",
  },
];

/** The program that a task runs, where it is one of the table. */
export function softwareOf(comm: string, owner: Owner): Software | undefined {
  const workload = [owner.unit, owner.container, owner.pod].join(" ").toLowerCase();
  return software.find(
    ({ comms, workloads }) =>
      comms.test(comm) && (workloads === undefined || workloads.test(`${workload} ${comm}`)),
  );
}
