import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { it, onTestFinished } from "vitest";
import { eventually, main, sampleOf, temporaryDirectory } from "../setup/exporter-process.ts";
import { needs } from "../setup/needs.ts";

const kills = 'oom_kills_total{constraint="none"}';

/** A small file system that only the exporter sees. */
function namespaceObstacle(): string | undefined {
  try {
    execFileSync("unshare", ["--mount", "mount", "-t", "tmpfs", "none", "/mnt"], {
      stdio: "ignore",
    });
    return undefined;
  } catch {
    return "needs a mount namespace: root, and unshare of util-linux";
  }
}

/** Each line on its standard input is one step: fill the disk and the last page of the log, make room again, end. */
const script = `
  disk=$1 log=$2; shift 2
  mount -t tmpfs -o size=1M none "$disk" && mkdir "$disk/state"
  "$@" --state.directory="$disk/state" --kernel-log.file="$log" 2>>"$disk/err" </dev/null & exporter=$!
  trap 'kill -9 $exporter 2>/dev/null' EXIT
  read -r step || exit 1; dd if=/dev/zero of="$disk/fill" bs=4k 2>/dev/null
  dd if=/dev/zero of="$disk/err" bs=1 count=4096 oflag=append conv=notrunc 2>/dev/null; echo full
  read -r step || exit 1; rm "$disk/fill"; echo room
  read -r step || exit 1; kill -TERM $exporter; wait $exporter; status=$?; trap - EXIT; echo "status $status"
`;

const report = gunzipSync(readFileSync("test/fixtures/logs/global-swap.kern.log.gz")).toString(
  "latin1",
);

needs(it, namespaceObstacle())(
  "a full disk under its log and its state at once costs neither the exporter nor a kill, and is counted",
  async () => {
    const directory = temporaryDirectory();
    const [disk, log] = [join(directory.path, "disk"), join(directory.path, "kern.log")];
    mkdirSync(disk);
    writeFileSync(log, "");
    const kill = (pid: number) => appendFileSync(log, report.replaceAll("208", `${pid}`));
    const child = spawn(
      "unshare",
      [
        ...["--mount", "sh", "-c", script, "sh", disk, log],
        ...[process.execPath, main, "--web.listen-address=127.0.0.1:0"],
      ],
      { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, STATE_DIRECTORY: "" } },
    );
    const closed = once(child, "close");
    onTestFinished(async () => {
      child.stdin.end();
      await closed;
      directory.remove();
    });
    let printed = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
    });
    const url = await eventually(
      "it serves",
      async () => /http:\/\/127\.0\.0\.1:\d+/.exec(printed)?.[0],
    );
    const sample = async (series: string) =>
      sampleOf(await (await fetch(`${url}/metrics`)).text(), series) ?? 0;
    const step = async (answer: string) => {
      child.stdin.write("next\n");
      await eventually(answer, async () => printed.includes(answer));
    };
    await eventually(
      "it keeps its state",
      async () => (await sample("oom_state_persistent")) === 1,
    );

    await step("full");
    // More than fits into the last page of the state.
    for (let pid = 20_001; pid <= 20_010; pid++) kill(pid);
    await eventually("the kills count", async () => (await sample(kills)) === 10);
    await eventually("its state is lost", async () => sample("oom_state_save_failures_total"));
    await eventually("the line about it is lost", async () =>
      sample("oom_exporter_lost_log_lines_total"),
    );

    await step("room");
    kill(20_011);
    await eventually("the next kill counts", async () => (await sample(kills)) === 11);
    await eventually(
      "its state is kept again",
      async () => (await sample("oom_state_persistent")) === 1,
    );
    await step("status 0");
    await closed;
  },
);
