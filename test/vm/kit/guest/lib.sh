# For scripts that run in the guest: `. /kit/lib.sh`.
CG=/sys/fs/cgroup

# mkcg PATH [LIMIT]: makes a memory cgroup; its directory is in $dir
mkcg() {
  local above=$CG rest=$1
  dir=$CG/$1
  mkdir -p "$dir"
  while [ "$rest" != "${rest#*/}" ]; do
    above=$above/${rest%%/*} rest=${rest#*/}
    echo "+memory +cpuset +pids" >"$above/cgroup.subtree_control"
  done
  [ -z "$2" ] || echo "$2" >"$dir/memory.max"
}

# count WORD: how many lines of the truth begin with it
count() { grep -c "^$1 " "$TRUTH"; }
# wait_ready N [SECONDS]: until so many processes hold their memory; wait_exits: until so many have ended
wait_ready() { wait_for ready "$@"; }
wait_exits() { wait_for exit "$@"; }
wait_for() {
  local end=$((SECONDS + ${3:-60}))
  until [ "$(count "$1")" -ge "$2" ]; do
    [ $SECONDS -lt $end ] || { echo "gave up waiting for $2 x $1" >&2; return 1; }
    sleep 0.2
  done
}
dead() { grep -c 'sig=9$' "$TRUTH"; }

# still FILE: until it has stopped growing
still() {
  local before=-1 now
  while now=$(stat -c %s "$1" 2>/dev/null || echo 0); [ "$before" != "$now" ]; do before=$now; sleep 0.5; done
}

uptime_now() { cut -d' ' -f1 /proc/uptime; }
# stamps_of_kills: when the kernel killed, in seconds since boot
stamps_of_kills() { dmesg | sed -n 's/^\[ *\([0-9.]*\)\].*: Killed process .*/\1/p'; }
kernel_kills() { awk '$1 == "oom_kill" { print $2 }' /proc/vmstat; }

# reboot_machine: the script starts again with BOOT=2; needs a machine that may
reboot_machine() {
  touch /results/.kit/reboot
  sync
  busybox reboot -f
  sleep 600
}

: >>"$TRUTH"
chmod 666 "$TRUTH"
