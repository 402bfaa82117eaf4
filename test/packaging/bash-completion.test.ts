import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { needs } from "../setup/needs.ts";

const obstacle = existsSync("/bin/bash") ? undefined : "no bash";

/** What bash offers at the end of a command line; bash treats an equals sign as a word. */
function offered(...words: string[]): string[] {
  const script = `
    compopt() { :; }
    . packaging/completions/oom-exporter.bash
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _oom_exporter
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const args = ["-c", script, "bash", "oom-exporter", ...words];
  return execFileSync("/bin/bash", args, { encoding: "utf8" }).split("\n").filter(Boolean);
}

needs(describe, obstacle)("the completion of bash", () => {
  it("offers the commands", () => {
    expect(offered("")).toEqual(["serve", "explain", "victims", "doctor", "help", "version"]);
    expect(offered("help", "")).toEqual(["serve", "explain", "victims", "doctor"]);
    expect(offered("ex")).toEqual(["explain"]);
  });

  it("offers the flags of the command on the line, or of serve", () => {
    expect(offered("--web.l")).toEqual(["--web.listen-address="]);
    expect(offered("--no-col")).toContain("--no-collector.cgroups");
    expect(offered("victims", "--")).toEqual([
      ...["--json", "--cgroup=", "--top="],
      ...["--collector.processes.program", "--no-collector.processes.program"],
      ...["--path.procfs=", "--path.sysfs=", "--path.rootfs=", "--help"],
    ]);
  });

  it("offers a flag's values", () => {
    expect(offered("--kernel-log.source", "=", "k")).toEqual(["kmsg"]);
    expect(offered("--kernel-log.source", "=")).toEqual(["auto", "file", "kmsg", "none"]);
    expect(offered("--log.format", "js")).toEqual(["json"]);
  });

  it("offers files to explain, and directories if a flag takes one", () => {
    expect(offered("explain", "package.j")).toEqual(["package.json"]);
    expect(offered("--path.procfs", "=", "packa")).toEqual(["packaging"]);
    expect(offered("--web.config.file", "=", "package.j")).toEqual(["package.json"]);
  });
});
