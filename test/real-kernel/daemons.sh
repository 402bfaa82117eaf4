#!/bin/sh
# daemons.sh DIRECTORY N COMMAND...: runs a daemon that kills for memory in a pid namespace, where it sees
# and reaches nobody else, and where memory is nearly out by what /proc/meminfo says. Starts N processes, one
# after the other, and prints how wait() saw each end. The daemon's output goes to stderr, and its own end comes when
# standard input ends: only then has it said what it did.
directory=$1 n=$2
shift 2
mount --bind "$directory/meminfo" /proc/meminfo || exit 1
# The shell's own "Terminated" would land in the middle of the daemon's lines.
exec 3>&2 2>/dev/null
"$@" >&3 2>&3 &
daemon=$!
i=1
while [ $i -le "$n" ]; do
  sh -c "echo 900 >/proc/self/oom_score_adj; exec $directory/hog$i 120" &
  wait $!
  echo "hog$i $! $?"
  i=$((i + 1))
done
# Not by a program, which the daemon would kill.
read -r _
kill $daemon
