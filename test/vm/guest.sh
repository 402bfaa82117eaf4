# Sourced by every scenario inside the guest. Brings /kit/lib.sh too: mkcg, wait_ready, wait_exits, ...; the
# programs hog, run, burst, storm and probe are described in test/vm/kit/guest/tools.c.
. /kit/lib.sh

# exporter NAME PORT [FLAG...]: starts one and waits until it has caught up with the log. $PLACE is its cgroup,
# $SCORE_ADJ its oom_score_adj, $AS a command in front of it such as setpriv.
# Its pid is in /run/NAME.pid; what it prints goes to /results/NAME.log.
exporter() {
  local name=$1 port=$2 tries=0
  shift 2
  sh -c 'echo ${SCORE_ADJ:--999} >/proc/self/oom_score_adj
    [ -z "$PLACE" ] || echo $$ >"$PLACE/cgroup.procs"
    exec "$@"' sh \
    $AS node --single-threaded /share/dist/oom-exporter.mjs --web.listen-address="127.0.0.1:$port" \
    --state.directory="/results/state-$name" "$@" >>"/results/$name.log" 2>&1 &
  echo $! >"/run/$name.pid"
  until get "$port" /-/ready; do
    tries=$((tries + 1))
    [ $tries -gt 300 ] && { echo "the exporter $name is not ready" >&2; exit 1; }
    sleep 0.2
  done >/dev/null
}

# exporter_as HOW NAME PORT [FLAG...]: the same, placed as
#   unit          deploy/systemd has it: oomexporter.slice protects its memory, oom_score_adj -900
#   system-slice  a unit with MemoryMin= in system.slice
#   container     docker run --cgroup-parent oomexporter.slice --oom-score-adj -900: only the slice has a memory.min
#   pod           the kubelet does without MemoryQoS: no memory.min, oom_score_adj -997
#   plain         npm start does: nothing is set
exporter_as() {
  local how=$1 min=64M max=256M adj=-900 name=$2 port=$3
  shift 3
  case $how in
    unit) mkcg oomexporter.slice/$name.service ;;
    system-slice) mkcg system.slice/$name.service ;;
    container) mkcg oomexporter.slice/docker-1.scope; min=0 ;;
    pod) mkcg kubepods.slice/pod.slice/cri-1.scope; min=0 max=192M adj=-997 ;;
    plain) mkcg user.slice/shell.scope; min=0 max=max adj=0 ;;
  esac
  echo $min >"$dir/memory.min"
  echo $max >"$dir/memory.max"
  [ ! -d $CG/oomexporter.slice ] || echo 64M >$CG/oomexporter.slice/memory.min
  PLACE=$dir SCORE_ADJ=$adj exporter "$name" "$port" "$@"
}

# kill_exporter NAME: with -9, as the machine's end would be.
kill_exporter() {
  kill -9 "$(cat "/run/$1.pid")"
  wait "$(cat "/run/$1.pid")" 2>/dev/null
}

get() { busybox wget -q -O - "http://127.0.0.1:$1$2" 2>/dev/null; }

# sample PORT NAME: the sum of all series of a metric
sample() { get "$1" /metrics | awk -v m="$2" 'index($1, m "{") == 1 || $1 == m { s += $NF } END { printf "%d\n", s }'; }

# scrape NAME PORT: what is shown now, and the kernel's own count
scrape() {
  get "$2" /metrics >"/results/$1.metrics"
  get "$2" '/api/v1/kills?limit=1000' >"/results/$1.kills.json"
  grep -w oom_kill /proc/vmstat >"/results/$1.vmstat"
}

# counted PORT N [SECONDS]: waits until so many kills are shown; the scenario's checks say if it was in vain
counted() {
  local end=$(($(date +%s) + ${3:-60}))
  while [ "$(sample "$1" oom_kills_total)" -lt "$2" ] && [ "$(date +%s)" -lt $end ]; do sleep 0.3; done
}

# The exporter does not trust its first reading of the kernel's count in its first two seconds.
settle() { sleep 3; }

# syslog: rsyslogd with Debian's kern.log; its pid is in $rsyslogd
syslog() {
  cat >/run/rsyslog.conf <<'CONF'
module(load="imklog")
global(workDirectory="/run")
kern.* action(type="omfile" file="/var/log/kern.log" template="RSYSLOG_TraditionalFileFormat")
CONF
  sh -c 'echo -1000 >/proc/self/oom_score_adj; exec "$@"' sh \
    rsyslogd -n -i /run/rsyslogd.pid -f /run/rsyslog.conf >/results/rsyslogd.log 2>&1 &
  rsyslogd=$!
  local tries=0
  until [ -s /var/log/kern.log ] || [ $tries -gt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
  still /var/log/kern.log
}
