# For scripts that run in the guest: `. /share/guest.sh`. They leave what they found in /results/facts.
export LC_ALL=C SYSTEMD_COLORS=0 SYSTEMD_PAGER= DEBIAN_FRONTEND=noninteractive

# fact NAME VALUE: one line, whatever VALUE has in it
fact() { printf '%s: %s\n' "$1" "$(printf %s "$2" | tr '\n' ' ' | sed 's/ *$//')" >>/results/facts; }

show() { systemctl show -P "$1" "${2:-oom-exporter.service}"; }
main_pid() { show MainPID; }

page() { curl -s -m 60 "http://127.0.0.1:${2:-10137}$1"; }
# metric PREFIX: the sum of the series that begin with it, or `absent`
metric() {
  page /metrics | awk -v m="$1" 'index($1, m) == 1 { sum += $2; n++ } END { if (n) print sum; else print "absent" }'
}

# await SECONDS COMMAND...: until it succeeds
await() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $until ] || return 1
    sleep 0.5
  done
}
ready() { curl -sf -m 20 -o /dev/null http://127.0.0.1:10137/-/ready; }
# series PREFIX: those that begin with it, each with its value
series() { page /metrics | grep "^$1" | sort; }
unaccounted() { [ "$(metric oom_kills_unaccounted)" = "$1" ]; }
in_state() { [ "$(show ActiveState)" = "$1" ]; }
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
counted() { [ "$(metric oom_kills_total)" = "$1" ]; }

# kill_one UNIT: has the kernel kill a process of that unit at its limit
kill_one() {
  systemd-run --quiet --wait --unit="$1" -p MemoryMax=24M -p MemorySwapMax=0 sh -c 'exec tail /dev/zero' 2>/dev/null
}

# settings OPTIONS: what the administrator writes into the settings
settings() { echo "OPTIONS=\"$*\"" >/etc/default/oom-exporter; }

# without_kmsg: as an administrator switches the drop-in off; with_kmsg: on again
without_kmsg() {
  mkdir -p /etc/systemd/system/oom-exporter.service.d
  ln -sf /dev/null /etc/systemd/system/oom-exporter.service.d/kmsg.conf
  systemctl daemon-reload
}
with_kmsg() {
  rm -r /etc/systemd/system/oom-exporter.service.d
  systemctl daemon-reload
}

exposure() { systemd-analyze security --no-pager oom-exporter.service | tail -n 1 | grep -oE '[0-9]+\.[0-9]+'; }
# exposed: what the unit leaves open, directive by directive
exposed() { systemd-analyze security --no-pager oom-exporter.service | awk '$NF ~ /^[0-9.]+$/ && $NF > 0'; }

