/**
 * Every metric of the exporter, in one list: the exposition prints `# HELP` and `# TYPE` from it, `docs/metrics.md` is
 * generated from it, and collectors can add no other sample (`SampleSink.add` is typed by this object).
 *
 * Invariant: a metric's name, type and label names never change while the process runs; every sample has exactly the
 * labels of its entry, empty if a value is unknown.
 */

/**
 * Every collector, in the order of a scrape. `--collector.<name>` and its help, the values of the label `collector` and
 * the sections of docs/metrics.md come from this.
 */
export const collectors = {
  host: {
    title: "Host",
    help: "Read the host's memory, swap, pressure and kernel kill count.",
  },
  cgroups: { title: "Cgroups", help: "Read the memory of every cgroup." },
  processes: {
    title: "Processes",
    help: "Rank processes in the order the kernel would kill them.",
  },
  kills: { title: "Kills", help: "Follow the kernel log and count kills." },
  log: { title: "Kernel log", help: "Report the health of the kernel log source." },
} as const;

export type CollectorName = keyof typeof collectors;

export const collectorNames = Object.keys(collectors) as readonly CollectorName[];

interface MetricDefinition {
  type: "gauge" | "counter";
  /** What adds it: a collector, the scrape itself, or the exporter about its own process. */
  collector: CollectorName | "scrape" | "exporter";
  labels: readonly string[];
  /** For a label with a closed set of values: these values. */
  values?: { readonly [label: string]: readonly string[] };
  /** One line; names the kernel file and field that the number comes from. */
  help: string;
}

/** The owner of the memory; the same labels on every metric that has an owner. */
export const ownerLabels = ["cgroup", "unit", "container", "pod", "namespace"] as const;

const stallKinds = ["some", "full"] as const;
const constraints = ["none", "memcg", "cpuset", "memory_policy", "unknown"] as const;
const protections = ["unkillable", "protected", "default", "sacrificial"] as const;

export const catalog = {
  oom_host_memory_total_bytes: {
    type: "gauge",
    collector: "host",
    labels: [],
    help: "Total usable memory, from /proc/meminfo field MemTotal.",
  },
  oom_host_memory_available_bytes: {
    type: "gauge",
    collector: "host",
    labels: [],
    help: "Memory available to new processes without swapping, from /proc/meminfo field MemAvailable.",
  },
  oom_host_memory_free_bytes: {
    type: "gauge",
    collector: "host",
    labels: [],
    help: "Unused memory, from /proc/meminfo field MemFree.",
  },
  oom_host_memory_used_bytes: {
    type: "gauge",
    collector: "host",
    labels: ["kind"],
    values: {
      kind: [
        "anon",
        "page_cache",
        "shmem",
        "slab_reclaimable",
        "slab_unreclaimable",
        "page_tables",
        "kernel_stack",
        "hugetlb",
        "percpu",
        "vmalloc",
        "zspages",
        "balloon",
        "other",
      ],
    },
    help: "Memory in use by kind, from /proc/meminfo and /proc/vmstat field nr_zspages: kinds are disjoint and add up to MemTotal - MemFree; page_cache is Cached + Buffers - Shmem, vmalloc is VmallocUsed - KernelStack, zspages is zram and zswap.",
  },
  oom_host_swap_total_bytes: {
    type: "gauge",
    collector: "host",
    labels: [],
    help: "Total swap space, from /proc/meminfo field SwapTotal.",
  },
  oom_host_swap_free_bytes: {
    type: "gauge",
    collector: "host",
    labels: [],
    help: "Unused swap space, from /proc/meminfo field SwapFree.",
  },
  oom_host_swap_in_bytes_total: {
    type: "counter",
    collector: "host",
    labels: [],
    help: "Bytes read back from swap since boot, from /proc/vmstat field pswpin.",
  },
  oom_host_swap_out_bytes_total: {
    type: "counter",
    collector: "host",
    labels: [],
    help: "Bytes written to swap since boot, from /proc/vmstat field pswpout.",
  },
  oom_host_commit_limit_bytes: {
    type: "gauge",
    collector: "host",
    labels: [],
    help: "Limit on committed memory, enforced when vm.overcommit_memory is 2, from /proc/meminfo field CommitLimit.",
  },
  oom_host_committed_bytes: {
    type: "gauge",
    collector: "host",
    labels: [],
    help: "Memory committed to processes, from /proc/meminfo field Committed_AS.",
  },
  oom_host_memory_stall_seconds_total: {
    type: "counter",
    collector: "host",
    labels: ["kind"],
    values: { kind: stallKinds },
    help: "Time during which some or all non-idle tasks of the host were stalled on memory, from /proc/pressure/memory field total.",
  },
  oom_host_major_faults_total: {
    type: "counter",
    collector: "host",
    labels: [],
    help: "Page faults since boot that had to read from disk, from /proc/vmstat field pgmajfault.",
  },
  oom_host_direct_reclaim_stalls_total: {
    type: "counter",
    collector: "host",
    labels: [],
    help: "Allocations since boot that had to reclaim memory first (direct reclaim), from /proc/vmstat fields allocstall and allocstall_*.",
  },
  oom_host_sysctl: {
    type: "gauge",
    collector: "host",
    labels: ["name"],
    values: {
      name: [
        "vm.min_free_kbytes",
        "vm.oom_dump_tasks",
        "vm.oom_kill_allocating_task",
        "vm.overcommit_memory",
        "vm.overcommit_ratio",
        "vm.panic_on_oom",
        "vm.swappiness",
        "vm.watermark_scale_factor",
      ],
    },
    help: "Kernel settings that control when memory runs out and which process is killed, from /proc/sys/vm.",
  },
  oom_kernel_kills_total: {
    type: "counter",
    collector: "host",
    labels: [],
    help: "The kernel's count of out-of-memory kills since boot, host-wide and in cgroups, from /proc/vmstat field oom_kill.",
  },

  oom_cgroup_memory_current_bytes: {
    type: "gauge",
    collector: "cgroups",
    labels: ownerLabels,
    help: "Memory charged to the cgroup and its descendants, from memory.current (v1: memory.usage_in_bytes).",
  },
  oom_cgroup_memory_max_bytes: {
    type: "gauge",
    collector: "cgroups",
    labels: ownerLabels,
    help: "The cgroup's own hard limit, absent if there is none, from memory.max (v1: memory.limit_in_bytes).",
  },
  oom_cgroup_memory_high_bytes: {
    type: "gauge",
    collector: "cgroups",
    labels: ownerLabels,
    help: "Usage above which the cgroup is throttled and reclaimed, absent if unset, from memory.high (v2 only).",
  },
  oom_cgroup_memory_effective_max_bytes: {
    type: "gauge",
    collector: "cgroups",
    labels: ownerLabels,
    help: "The lowest memory.max (v1: memory.limit_in_bytes) of the cgroup and its ancestors, at most the host's MemTotal.",
  },
  oom_cgroup_memory_working_set_bytes: {
    type: "gauge",
    collector: "cgroups",
    labels: ownerLabels,
    help: "Charged memory without inactive page cache, from memory.current minus memory.stat field inactive_file (v1: total_inactive_file).",
  },
  oom_cgroup_memory_anon_bytes: {
    type: "gauge",
    collector: "cgroups",
    labels: ownerLabels,
    help: "Anonymous memory, which can be reclaimed only by swapping, from memory.stat field anon (v1: total_rss).",
  },
  oom_cgroup_memory_file_bytes: {
    type: "gauge",
    collector: "cgroups",
    labels: ownerLabels,
    help: "Page cache including shared memory, from memory.stat field file (v1: total_cache).",
  },
  oom_cgroup_memory_shmem_bytes: {
    type: "gauge",
    collector: "cgroups",
    labels: ownerLabels,
    help: "Shared memory and tmpfs, which can be reclaimed only by swapping, from memory.stat field shmem (v1: total_shmem).",
  },
  oom_cgroup_memory_peak_bytes: {
    type: "gauge",
    collector: "cgroups",
    labels: ownerLabels,
    help: "The most memory ever charged to the cgroup, from memory.peak, since Linux 5.19 (v1: memory.max_usage_in_bytes).",
  },
  oom_cgroup_swap_current_bytes: {
    type: "gauge",
    collector: "cgroups",
    labels: ownerLabels,
    help: "Swap in use by the cgroup, absent on a host without swap, from memory.swap.current (v1: memory.stat field total_swap).",
  },
  oom_cgroup_swap_max_bytes: {
    type: "gauge",
    collector: "cgroups",
    labels: ownerLabels,
    help: "The cgroup's swap limit, absent if there is none, from memory.swap.max (v1: memory.memsw.limit_in_bytes minus memory.limit_in_bytes).",
  },
  oom_cgroup_memory_events_total: {
    type: "counter",
    collector: "cgroups",
    labels: [...ownerLabels, "event"],
    values: { event: ["low", "high", "max", "oom", "oom_kill", "oom_group_kill"] },
    help: "Events of the cgroup itself, from memory.events.local (before Linux 5.2 memory.events, which counts descendants too; v1: max is memory.failcnt, oom_kill is in memory.oom_control); max and oom only if memory.max is set, high only if memory.high is set.",
  },
  oom_cgroup_memory_stall_seconds_total: {
    type: "counter",
    collector: "cgroups",
    labels: [...ownerLabels, "kind"],
    values: { kind: stallKinds },
    help: "Time during which some or all non-idle tasks of the cgroup were stalled on memory, from memory.pressure field total.",
  },
  oom_cgroup_info: {
    type: "gauge",
    collector: "cgroups",
    labels: ["cgroup", "container_id", "pod_uid", "runtime", "version"],
    values: { version: ["1", "2"] },
    help: "Container and pod identity taken from the cgroup path, always 1; join with other exporters on container_id and pod_uid.",
  },
  oom_cgroups: {
    type: "gauge",
    collector: "cgroups",
    labels: [],
    help: "Memory cgroups found under the cgroup mount, including those left out.",
  },
  oom_cgroups_left_out: {
    type: "gauge",
    collector: "cgroups",
    labels: ["reason"],
    values: { reason: ["filter", "limit", "bytes", "unreadable"] },
    help: "Memory cgroups without series: excluded by --collector.cgroups.include or .exclude (filter), beyond --collector.cgroups.max (limit), beyond the 16 MB that cgroup series may take of a scrape (bytes), or not readable: by the exporter's user, or for a path of over 4,096 bytes (unreadable).",
  },

  oom_process_score: {
    type: "gauge",
    collector: "processes",
    labels: ["pid", "comm", ...ownerLabels],
    help: "Badness score of the processes the kernel would kill first, from /proc/PID/oom_score.",
  },
  oom_process_score_adj: {
    type: "gauge",
    collector: "processes",
    labels: ["pid", "comm", ...ownerLabels],
    help: "Configured adjustment of the score, -1000 (never kill) to 1000 (kill first), from /proc/PID/oom_score_adj.",
  },
  oom_process_resident_bytes: {
    type: "gauge",
    collector: "processes",
    labels: ["pid", "comm", ...ownerLabels],
    help: "Resident memory of the processes the kernel would kill first, from /proc/PID/status field VmRSS.",
  },
  oom_process_swap_bytes: {
    type: "gauge",
    collector: "processes",
    labels: ["pid", "comm", ...ownerLabels],
    help: "Swapped-out memory of the processes the kernel would kill first, from /proc/PID/status field VmSwap.",
  },
  oom_processes: {
    type: "gauge",
    collector: "processes",
    labels: ["protection"],
    values: { protection: protections },
    help: "Processes by /proc/PID/oom_score_adj: unkillable (-1000), protected (below 0), default (0), sacrificial (above 0).",
  },
  oom_processes_unreadable: {
    type: "gauge",
    collector: "processes",
    labels: [],
    help: "Processes left out because the exporter's user may not read their /proc/PID/oom_score (hidepid, user namespaces).",
  },
  oom_unkillable_resident_bytes: {
    type: "gauge",
    collector: "processes",
    labels: [],
    help: "Memory of processes the kernel may not kill, the sum of VmRSS over processes whose oom_score_adj is -1000.",
  },
  oom_next_victim_info: {
    type: "gauge",
    collector: "processes",
    labels: ["scope", "pid", "comm", "program", ...ownerLabels],
    help: "The process the kernel would kill next, always 1; scope is host, or the cgroup whose limit would be hit; program is the script, module, main class or jar that an interpreter runs; absent where the kernel would not kill by its ranking (oom_kill_disable of cgroup v1, vm.panic_on_oom, vm.oom_kill_allocating_task).",
  },

  oom_kills_total: {
    type: "counter",
    collector: "kills",
    labels: ["constraint"],
    values: { constraint: constraints },
    help: "Out-of-memory kills, counted from the Killed process lines of the kernel log, by constraint (what ran out).",
  },
  oom_workload_kills_total: {
    type: "counter",
    collector: "kills",
    labels: ownerLabels,
    help: "Out-of-memory kills by the cgroup of the victim, from the kernel log; kept after the cgroup is gone; cgroup other counts what exceeds 2,000 series.",
  },
  oom_command_kills_total: {
    type: "counter",
    collector: "kills",
    labels: ["comm"],
    help: "Out-of-memory kills by command name of the victim, from the kernel log; comm other counts what exceeds 200 names.",
  },
  oom_kill_timestamp_seconds: {
    type: "gauge",
    collector: "kills",
    labels: [
      "incident",
      "pid",
      "comm",
      "program",
      "grower",
      "constraint",
      "cause",
      "trigger",
      "protection",
      ...ownerLabels,
      "limit_cgroup",
    ],
    values: {
      constraint: constraints,
      cause: [
        "manual",
        "page_fault",
        "cpuset_or_node",
        "fragmentation",
        "protected_hog",
        "kernel_memory",
        "unaccounted",
        "shmem",
        "many_small",
        "parent_cgroup_limit",
        "cgroup_limit",
        "unknown_limit",
        "swap_exhausted",
        "memory_hog",
        "host_exhausted",
        "unknown",
      ],
      protection: [...protections, "unknown"],
    },
    help: "When a process was killed, Unix time from the kernel log; one series per kill of the last hour, at most 100; grower is the pod, container, unit or cgroup whose memory grew most in the 15 minutes before, by at least 5 % of the limit or of MemTotal.",
  },
  oom_kill_outcome_info: {
    type: "gauge",
    collector: "kills",
    labels: ["incident", "outcome"],
    values: { outcome: ["gone", "stopped", "restarted", "respawned", "lives_on"] },
    help: "What became of the victim's cgroup within two minutes of the kill, always 1: gone, stopped, restarted, respawned, or lives_on without the process that was killed; absent until it is known, and for kills that were read after downtime.",
  },
  oom_kill_timestamps_left_out: {
    type: "gauge",
    collector: "kills",
    labels: [],
    help: "Kills of the last hour that have no series in oom_kill_timestamp_seconds because it holds at most 100.",
  },
  oom_last_kill_timestamp_seconds: {
    type: "gauge",
    collector: "kills",
    labels: ["constraint"],
    values: { constraint: constraints },
    help: "When the last process was killed, Unix time from the kernel log, 0 if none is known.",
  },
  oom_kills_unaccounted: {
    type: "gauge",
    collector: "kills",
    labels: [],
    help: "Kills counted in /proc/vmstat field oom_kill that did not appear in the kernel log since the exporter began to follow it; 0 until a gap has lasted for 10 s.",
  },
  oom_no_victim_total: {
    type: "counter",
    collector: "kills",
    labels: [],
    help: "Times the kernel found no process to kill, from its log lines 'no killable processes', since this process started. One limit can raise it hundreds of times.",
  },
  oom_userspace_kills_total: {
    type: "counter",
    collector: "kills",
    labels: ["killer"],
    values: { killer: ["systemd-oomd", "earlyoom", "nohang", "kubelet"] },
    help: "Kills for memory by programs outside the kernel, from their logs (--daemon-log.source); absent for a killer that is not on this host or whose log cannot be read.",
  },
  oom_userspace_kill_timestamp_seconds: {
    type: "gauge",
    collector: "kills",
    labels: ["incident", "killer", "pid", "comm", "program", "reason", ...ownerLabels],
    values: {
      killer: ["systemd-oomd", "earlyoom", "nohang", "kubelet", "talos", "lmkd"],
      reason: ["memory_pressure", "swap", "memory_available", "eviction", "other"],
    },
    help: "When a program outside the kernel killed a process, cgroup or pod for memory, Unix time from its log; one series per kill of the last hour, at most 100. pid and comm are empty if a whole cgroup or pod was killed.",
  },
  oom_state_persistent: {
    type: "gauge",
    collector: "kills",
    labels: [],
    help: "1 if kill counts and log position are saved in --state.directory across restarts, 0 if not.",
  },
  oom_state_save_failures_total: {
    type: "counter",
    collector: "kills",
    labels: [],
    help: "Times the kill counts and log position could not be written to --state.directory.",
  },
  oom_state_damaged_total: {
    type: "counter",
    collector: "kills",
    labels: [],
    help: "Corrupt state files in --state.directory that were set aside; the counts in them are lost.",
  },

  oom_log_source_up: {
    type: "gauge",
    collector: "log",
    labels: ["source"],
    values: { source: ["file", "kmsg"] },
    help: "1 if this source of the kernel log can be read, 0 if it cannot and kills may go unseen.",
  },
  oom_log_source_info: {
    type: "gauge",
    collector: "log",
    labels: ["source", "path"],
    values: { source: ["file", "kmsg"] },
    help: "The kernel log that is read, always 1.",
  },
  oom_daemon_log_up: {
    type: "gauge",
    collector: "log",
    labels: ["source"],
    values: { source: ["file", "journal"] },
    help: "1 if the log of systemd-oomd, earlyoom, nohang and the kubelet is being read, 0 if it cannot be read and their kills go unseen; absent if this host has no such program.",
  },
  oom_daemon_log_losses_total: {
    type: "counter",
    collector: "log",
    labels: [],
    help: "Times that part of the log of the programs that kill for memory outside the kernel was lost: a rotated file that is gone or cannot be read, or a journal cursor that journalctl rejects.",
  },
  oom_log_lines_total: {
    type: "counter",
    collector: "log",
    labels: [],
    help: "Lines or records read from the kernel log.",
  },
  oom_log_bytes_total: {
    type: "counter",
    collector: "log",
    labels: [],
    help: "Bytes read from the kernel log.",
  },
  oom_log_rotations_total: {
    type: "counter",
    collector: "log",
    labels: [],
    help: "Times the kernel log file was replaced by a new one.",
  },
  oom_log_truncations_total: {
    type: "counter",
    collector: "log",
    labels: [],
    help: "Times the kernel log file was truncated in place.",
  },
  oom_log_lost_records_total: {
    type: "counter",
    collector: "log",
    labels: [],
    help: "Kernel log records known to be lost: /dev/kmsg overruns and sequence gaps, and messages the log daemon reports as dropped.",
  },
  oom_log_suppressed_dumps_total: {
    type: "counter",
    collector: "log",
    labels: [],
    help: "Out-of-memory dumps the kernel did not print, from its lines oom_kill_process and dump_header: N callbacks suppressed; the kills themselves are still counted.",
  },
  oom_log_read_errors_total: {
    type: "counter",
    collector: "log",
    labels: [],
    help: "Failed attempts to open or read the kernel log.",
  },
  oom_log_last_record_timestamp_seconds: {
    type: "gauge",
    collector: "log",
    labels: [],
    help: "When the last kernel log record was written, Unix time; if the record has no time of its own (live records of /dev/kmsg), when it was read; 0 if none was read.",
  },
  oom_log_unparsed_kills_total: {
    type: "counter",
    collector: "log",
    labels: [],
    help: "Lines of the kernel log that look like a kill but could not be parsed, and were not counted.",
  },

  oom_scrape_collector_success: {
    type: "gauge",
    collector: "scrape",
    labels: ["collector"],
    help: "1 if the collector succeeded, 0 if it failed, had nothing to read or ran out of time.",
  },
  oom_scrape_collector_duration_seconds: {
    type: "gauge",
    collector: "scrape",
    labels: ["collector"],
    help: "Duration of the collector in this scrape.",
  },

  oom_exporter_build_info: {
    type: "gauge",
    collector: "exporter",
    labels: ["version", "revision", "nodeversion"],
    help: "Version of the exporter and of Node.js, always 1.",
  },
  oom_exporter_web_info: {
    type: "gauge",
    collector: "exporter",
    labels: ["url"],
    help: "URL of the exporter's pages as set by --web.external-url, always 1; alerts and dashboards link to it.",
  },
  oom_exporter_anon_bytes: {
    type: "gauge",
    collector: "exporter",
    labels: [],
    help: "The exporter's own anonymous memory, from /proc/self/status field RssAnon.",
  },
  oom_exporter_refused_requests_total: {
    type: "counter",
    collector: "exporter",
    labels: [],
    help: "Requests answered 503 because --web.max-requests requests were already being served.",
  },
  oom_exporter_refused_connections_total: {
    type: "counter",
    collector: "exporter",
    labels: [],
    help: "Connections closed or refused to make room for others because they were idle or too slow to read the response.",
  },
  oom_exporter_lost_log_lines_total: {
    type: "counter",
    collector: "exporter",
    labels: [],
    help: "Lines of the exporter's own log that could not be written because the disk is full or the pipe is not being read.",
  },
  process_cpu_seconds_total: {
    type: "counter",
    collector: "exporter",
    labels: [],
    help: "User and system CPU time used by the exporter.",
  },
  process_resident_memory_bytes: {
    type: "gauge",
    collector: "exporter",
    labels: [],
    help: "The exporter's resident memory, from /proc/self/status field VmRSS.",
  },
  process_start_time_seconds: {
    type: "gauge",
    collector: "exporter",
    labels: [],
    help: "When the exporter started, Unix time.",
  },
  process_open_fds: {
    type: "gauge",
    collector: "exporter",
    labels: [],
    help: "Open file descriptors of the exporter, from /proc/self/fd.",
  },
  process_max_fds: {
    type: "gauge",
    collector: "exporter",
    labels: [],
    help: "Maximum number of open file descriptors, from /proc/self/limits field Max open files.",
  },
  nodejs_heap_size_total_bytes: {
    type: "gauge",
    collector: "exporter",
    labels: [],
    help: "Total size of the JavaScript heap, from process.memoryUsage field heapTotal.",
  },
  nodejs_heap_size_used_bytes: {
    type: "gauge",
    collector: "exporter",
    labels: [],
    help: "Used part of the JavaScript heap, from process.memoryUsage field heapUsed.",
  },
  nodejs_external_memory_bytes: {
    type: "gauge",
    collector: "exporter",
    labels: [],
    help: "Memory of buffers outside the JavaScript heap, from process.memoryUsage field external.",
  },
  nodejs_eventloop_lag_p50_seconds: {
    type: "gauge",
    collector: "exporter",
    labels: [],
    help: "Median delay of the event loop since the last scrape, measured by how late the exporter's own timer fires.",
  },
  nodejs_eventloop_lag_p99_seconds: {
    type: "gauge",
    collector: "exporter",
    labels: [],
    help: "Delay of the event loop that 1 % exceed, since the last scrape, measured by how late the exporter's own timer fires.",
  },
} as const satisfies Record<string, MetricDefinition>;

type Catalog = typeof catalog;

export type MetricName = keyof Catalog;

type LabelName<Name extends MetricName> = Catalog[Name]["labels"][number];

type LabelValue<Name extends MetricName, Label extends string> = Catalog[Name] extends {
  values: { [key in Label]: readonly (infer Value)[] };
}
  ? Value
  : string;

/** The labels of one metric, all of them and no others; a label with a closed set takes only its values. */
export type LabelsOf<Name extends MetricName> = [LabelName<Name>] extends [never]
  ? { readonly [label: string]: never }
  : { readonly [Label in LabelName<Name>]: LabelValue<Name, Label> };

export const metricNames = Object.keys(catalog) as readonly MetricName[];
