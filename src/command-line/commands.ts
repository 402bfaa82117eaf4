/** Every command and what it does, in one line. */
export const commandSummaries = {
  serve: "run the exporter; the default",
  explain: "explain the kills in a kernel log",
  victims: "show which process the kernel would kill next",
  doctor: "check what can be read on this machine, and how to fix what cannot",
  help: "print this help, or that of a command: oom-exporter help explain",
  version: "print the version",
} as const;
