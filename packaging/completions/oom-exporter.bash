# Generated from the flag tables by `npm run docs`.
_oom_exporter() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=serve flags word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in serve|explain|victims|doctor) command=$word ;; esac
  done
  COMPREPLY=()
  # Readline splits --flag=value at the equals sign.
  if [[ $cur == "=" ]]; then
    cur=
  elif [[ $prev == "=" ]]; then
    prev=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  case $prev in
    --web.config.file|--kernel-log.file) COMPREPLY=($(compgen -f -- "$cur")); compopt -o filenames; return ;;
    --path.procfs|--path.sysfs|--path.rootfs|--state.directory) COMPREPLY=($(compgen -d -- "$cur")); compopt -o filenames; return ;;
    --kernel-log.source) COMPREPLY=($(compgen -W "auto file kmsg none" -- "$cur")); return ;;
    --daemon-log.source) COMPREPLY=($(compgen -W "auto file journal none" -- "$cur")); return ;;
    --log.level) COMPREPLY=($(compgen -W "debug info warn error" -- "$cur")); return ;;
    --log.format) COMPREPLY=($(compgen -W "logfmt json" -- "$cur")); return ;;
    --web.listen-address|--web.telemetry-path|--web.max-requests|--web.external-url|--collector.cgroups.include|--collector.cgroups.exclude|--collector.cgroups.max|--collector.processes.top|--check.wait|--limit|--since|--cgroup|--top) return ;;
  esac
  case $command in
    serve) flags="--web.listen-address= --web.telemetry-path= --web.config.file= --web.systemd-socket --web.max-requests= --web.external-url= --web.ui --no-web.ui --path.procfs= --path.sysfs= --path.rootfs= --kernel-log.source= --kernel-log.file= --daemon-log.source= --state.directory= --collector.host --no-collector.host --collector.cgroups --no-collector.cgroups --collector.processes --no-collector.processes --collector.kills --no-collector.kills --collector.log --no-collector.log --collector.cgroups.include= --collector.cgroups.exclude= --collector.cgroups.max= --collector.processes.top= --collector.processes.program --no-collector.processes.program --log.level= --log.format= --check --check.wait= --version --help" ;;
    explain) flags="--json --brief --limit= --since= --web.external-url= --help" ;;
    victims) flags="--json --cgroup= --top= --collector.processes.program --no-collector.processes.program --path.procfs= --path.sysfs= --path.rootfs= --help" ;;
    doctor) flags="--json --web.listen-address= --path.procfs= --path.sysfs= --path.rootfs= --kernel-log.source= --kernel-log.file= --daemon-log.source= --state.directory= --help" ;;
  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
  elif [[ $command == explain ]]; then
    COMPREPLY=($(compgen -f -- "$cur")); compopt -o filenames
  elif ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "serve explain victims doctor help version" -- "$cur"))
  elif ((COMP_CWORD == 2)) && [[ $prev == help ]]; then
    COMPREPLY=($(compgen -W "serve explain victims doctor" -- "$cur"))
  fi
}
complete -F _oom_exporter oom-exporter
