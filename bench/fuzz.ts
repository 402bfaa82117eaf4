/**
 * Feeds damaged input for a given time to everything that reads data of others.
 *
 *   npm run fuzz -- SECONDS [--seed=N] [--only=TARGET]
 *
 * Real logs, saved states, web configurations and requests are damaged: bytes changed, cut, doubled, moved, or taken
 * from elsewhere. Each target states what must hold. Prints the runs of each and its slowest input; input that breaks
 * a rule is reduced by fast-check and printed, exit code 1.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { explain } from "../src/commands/explain.ts";
import { buildApp } from "../src/http/app.ts";
import { isAcceptedHost } from "../src/http/host-name.ts";
import { parseListenAddress } from "../src/http/listeners.ts";
import { parseKmsgRecord } from "../src/kernel-log/kernel-message.ts";
import { KillScanner } from "../src/kernel-log/kill-scanner.ts";
import { utcZone } from "../src/kernel-log/local-time.ts";
import { parseJson, recordOf } from "../src/kernel-log/log-object.ts";
import { journalEntry } from "../src/killers/daemon-line.ts";
import { DaemonScanner } from "../src/killers/daemon-scanner.ts";
import {
  earlyoomLimits,
  kubeletLimits,
  nohangLimits,
  oomdLimits,
} from "../src/killers/killer-limits.ts";
import { type SavedUserspaceLedger, UserspaceLedger } from "../src/killers/userspace-ledger.ts";
import { KillLedger, type SavedLedger } from "../src/kills/kill-ledger.ts";
import { StateDirectory } from "../src/sources/state-directory.ts";
import { readCredentials } from "../src/web-config/basic-auth.ts";
import { subjectAltNames } from "../src/web-config/server-tls.ts";
import { parseWebConfig } from "../src/web-config/web-config.ts";
import { WebConfigError } from "../src/web-config/web-config-error.ts";
import { aKill, aStatusView } from "../test/http/views.ts";

/**
 * Processor time. No input of these sizes may take longer: what does is quadratic somewhere.
 * process.cpuUsage() includes the garbage collector and the compiler, which may work for earlier
 * inputs: a slow one is given again, and its shortest time counts.
 */
const slowestMs = 500;
const doubtfulMs = 100;
const nowMs = Date.parse("2026-11-21T04:00:00Z");
const logs = "test/fixtures/logs";
const seedBytes = 24 * 1024;

/** The beginnings of real logs, in every format that is read. */
const logSeeds = readdirSync(logs)
  .filter((name) => /\.(gz|log)$/.test(name))
  .map((name) => {
    const bytes = readFileSync(join(logs, name));
    const whole = name.endsWith(".gz") ? gunzipSync(bytes) : bytes;
    const kill = Math.max(0, whole.indexOf("Killed process"));
    return whole.subarray(Math.max(0, kill - seedBytes / 2), kill + seedBytes / 2);
  });

/** What daemons write: two recorded logs, and one kill in each other form. */
const daemonSeeds = [
  ...readdirSync("test/fixtures/daemons").map((name) =>
    readFileSync(join("test/fixtures/daemons", name)).subarray(0, seedBytes),
  ),
  ...[
    "Nov 20 13:23:50 web1 systemd-oomd[611]: Killed /system.slice/batch.service due to memory pressure for /system.slice being 62.11% > 60.00% for > 30s with reclaim activity\n",
    '<30>1 2026-11-20T13:23:50.671745+00:00 web1 earlyoom 712 - - sending SIGTERM to process 1234 uid 0 "hog": badness 955, VmRSS 1640 MiB\n',
    'Nov 20 13:23:50 node-1 kubelet[901]: I1120 13:23:50.671745 901 eviction_manager.go:395] "Eviction manager: pod is evicted successfully" pod="shop/cart-7d9f8-x2x"\n',
    'user: warning: [2026-08-11T17:20:38Z]: [talos] Sending SIGKILL to cgroup {"path":"/kubepods/burstable/pod1"}\n',
    "11-20 13:23:50.671   400   400 I lowmemorykiller: Kill 'com.android.settings' (3946), uid 1000, oom_score_adj 906 to free 21400kB rss, 0kB swap; reason: low watermark is breached\n",
  ].map((text) => Buffer.from(text)),
];
const journalSeeds = [
  '{"MESSAGE":"Killed /system.slice/batch.service due to memory used (412340224) / total (414429184) and swap used (0) / total (0) being more than 90.00%","__REALTIME_TIMESTAMP":"1795181030671745","__MONOTONIC_TIMESTAMP":"812345678","_BOOT_ID":"0f6c2f4e9e1b4d0c8f6a7d2b3c4e5f60","_PID":"611","SYSLOG_IDENTIFIER":"systemd-oomd","_SYSTEMD_UNIT":"systemd-oomd.service","__CURSOR":"s=1;i=2"}',
  '{"MESSAGE":[115,101,110,100,105,110,103,255],"__REALTIME_TIMESTAMP":"1","SYSLOG_IDENTIFIER":"earlyoom","_PID":"7"}',
].map((text) => Buffer.from(text));
const daemonConfigSeeds = [
  "EARLYOOM_ARGS=\"-m 5,2 -s 100 --prefer '^(Web Content|chrome)$' --avoid '^sshd$'\"\n",
  "soft_threshold_min_mem = 8 %\nsoft_threshold_min_swap = 10 %\npsi_checking_enabled = True\nsoft_threshold_max_psi = 60\n@BADNESS_ADJ_RE_NAME 300 /// ^chrome$\n",
  "[OOM]\nSwapUsedLimit=90%\nDefaultMemoryPressureLimit=60%\nDefaultMemoryPressureDurationSec=30s\n",
  "evictionHard:\n  memory.available: 100Mi\n  nodefs.available: 10%\n",
].map((text) => Buffer.from(text));

const configSeeds = [
  "tls_server_config:\n  cert_file: a.pem\n  key_file: a.key\n  client_ca_file: ca\n  client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS12\n  cipher_suites:\n  - TLS_AES_128_GCM_SHA256\n  curve_preferences: [X25519]\n",
  'http_server_config:\n  http2: true\n  headers: {X-Frame-Options: deny, Content-Security-Policy: "a"}\nrate_limit: {interval: 1m30s, burst: 5}\n',
  "basic_auth_users: &u\n  alice: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG\n<<: *u\n? a : b\n",
].map((text) => Buffer.from(text));

const requestSeeds = [
  "/api/v1/kills?since=2h&limit=100&before=aaaa-1-2",
  "/api/v1/victims?cgroup=/system.slice&top=3",
  "/metrics?collect[]=host&exclude[]=cgroups",
  "/kills/0123abcd-1-2",
  "/api/v1/status",
  "/-/healthy",
  "/",
].map((text) => Buffer.from(text));

const tokens = [
  "Killed process 1 (a)",
  "oom-kill:constraint=",
  "Out of memory: ",
  "invoked oom-killer:",
  "\n",
  "\0",
  "\u001b[",
  "\u202e",
  "[    0.000000]",
  "6,1,1,-;",
  "{",
  "}",
  "[",
  "]",
  '"',
  "\\",
  "%",
  "%00",
  "../",
  "--",
  ": ",
  "- ",
  "&a ",
  "*a",
  "<<",
  "9999999999999999999",
  "-1",
  "\ufeff",
  "é",
].map((text) => Buffer.from(text));

interface Damage {
  kind: "change" | "cut" | "double" | "move" | "insert" | "token" | "end";
  at: number;
  length: number;
  with: number;
}

const damage: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom("change", "cut", "double", "move", "insert", "token", "end"),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.nat(400),
  with: fc.nat(0xffff),
});

/** A seed, damaged up to eight times. */
function damaged(seeds: readonly Buffer[]): fc.Arbitrary<Buffer> {
  return fc
    .tuple(fc.nat(seeds.length - 1), fc.array(damage, { maxLength: 8 }))
    .map(([seed, damages]) =>
      damages.reduce((bytes, each) => apply(bytes, each, seeds), seeds[seed] as Buffer),
    );
}

function apply(bytes: Buffer, { kind, at, length, with: value }: Damage, seeds: readonly Buffer[]) {
  const start = Math.floor(at * bytes.length);
  const [before, middle, after] = [
    bytes.subarray(0, start),
    bytes.subarray(start, start + length),
    bytes.subarray(start + length),
  ];
  switch (kind) {
    case "change":
      return Buffer.concat([before, middle.map((byte) => byte ^ (value & 0xff)), after]);
    case "cut":
      return Buffer.concat([before, after]);
    case "double":
      return Buffer.concat([before, ...Array<Buffer>(1 + (value % 20)).fill(middle), after]);
    case "move":
      return Buffer.concat([middle, before, after]);
    case "insert": {
      const other = seeds[value % seeds.length] as Buffer;
      return Buffer.concat([
        before,
        other.subarray(start % other.length).subarray(0, length * 4),
        after,
      ]);
    }
    case "token":
      return Buffer.concat([before, tokens[value % tokens.length] as Buffer, middle, after]);
    case "end":
      return before;
  }
}

function kernelState(state: StateDirectory): void {
  const ledger = new KillLedger({ store: state, nowMs });
  ledger.record({
    atMs: nowMs,
    began: { boot: "ab", printkMicros: 1 },
    notes: { firstStartMs: nowMs },
  });
  state.compact(() => ledger.snapshot());
  ledger.record({ atMs: nowMs, notes: { firstStartMs: nowMs + 1 } });
}

function userspaceState(state: StateDirectory): void {
  const ledger = new UserspaceLedger({ store: state });
  ledger.record({ atMs: nowMs, began: true });
  state.compact(() => ledger.snapshot());
  ledger.record({ atMs: nowMs, positions: { "/var/log/syslog": { offset: 1 } } });
}

const stateOptions = { nowMs: () => nowMs, procfs: "/proc", warn() {}, info() {} };

/** The two files of a state directory that was filled so. */
function savedStates(fill: (state: StateDirectory) => void): Buffer[] {
  const directory = mkdtempSync(join(tmpdir(), "oom-exporter-fuzz-"));
  const state = StateDirectory.open(directory, stateOptions)?.directory as StateDirectory;
  fill(state);
  state.close();
  const files = ["state.json", "journal.ndjson"].map((name) => readFileSync(join(directory, name)));
  rmSync(directory, { recursive: true });
  return files;
}

/** What must hold, for one input; throws where it does not. */
interface Target {
  input: fc.Arbitrary<unknown>;
  holds(input: never): unknown;
}

const asRequest = { method: fc.constantFrom("GET", "HEAD", "POST", "PUT", "TRACE", "QUERY") };
const headerText = fc.string({ maxLength: 60 });

const app = buildApp({
  hostName: "web-03",
  hostNames: ["web-03"],
  scraper: { collectorNames: ["host", "cgroups"], scrape: async () => Buffer.from("a 1\n") },
  isReady: () => true,
  kills: () => [aKill()],
  victims: ({ cgroup }) => (cgroup === undefined ? { scope: "host", victims: [] } : undefined),
  status: () => ({}),
  statusView: () => aStatusView(),
  now: () => nowMs,
  onRefused() {},
  onError(error) {
    throw error;
  },
});

const state = mkdtempSync(join(tmpdir(), "oom-exporter-fuzz-"));
const files = ["state.json", "journal.ndjson"] as const;

/** They are opened, or set aside with a warning; the ledger takes what is left. */
function stateTarget(seeds: readonly Buffer[], take: (saved: unknown) => void): Target {
  return {
    input: fc.tuple(...seeds.map((seed) => damaged([seed, ...seeds]))),
    holds(contents: Buffer[]) {
      rmSync(state, { recursive: true, force: true });
      mkdirSync(state);
      for (const [index, name] of files.entries()) {
        writeFileSync(join(state, name), contents[index] as Buffer);
      }
      const opened = StateDirectory.open(state, stateOptions);
      take(opened?.saved);
      opened?.directory.close();
    },
  };
}

/** What is read is the same, however the bytes come. */
function cutTarget(
  seeds: readonly Buffer[],
  read: (bytes: Buffer, cuts: number[]) => unknown,
): Target {
  return {
    input: fc.tuple(damaged(seeds), fc.array(fc.nat(seedBytes), { maxLength: 6 })),
    holds([bytes, cuts]: [Buffer, number[]]) {
      const whole = JSON.stringify(read(bytes, []));
      const inParts = JSON.stringify(read(bytes, cuts));
      if (whole !== inParts) throw new Error(`cut at ${cuts}: ${inParts} instead of ${whole}`);
    },
  };
}

const targets: Record<string, Target> = {
  // Never throws, and prints one JSON value a line that no terminal obeys.
  "log, as explain reads it": {
    input: damaged(logSeeds),
    async holds(bytes: Buffer) {
      for (const line of await explained(bytes, [bytes.length])) {
        JSON.parse(line);
        if (/[\p{Cc}\p{Cf}]/u.test(line)) throw new Error(`unprintable: ${line}`);
      }
    },
  },
  // The same kills in the same order, and the same losses, however the bytes come.
  "line and report, as they come in": cutTarget(logSeeds, (bytes, cuts) =>
    byKind(scanned(bytes, cuts)),
  ),
  "record of /dev/kmsg": {
    input: damaged([
      Buffer.from("6,339,5140900,-,caller=T1;usb 1-1: new device\n SUBSYSTEM=usb\n"),
    ]),
    holds: (bytes: Buffer) => parseKmsgRecord(bytes.toString("latin1")),
  },
  // The same kills, however the bytes come.
  "line of a daemon, as it comes in": cutTarget(daemonSeeds, daemonKills),
  "entry of the journal": {
    input: fc.oneof(
      damaged(journalSeeds),
      fc.json().map((text) => Buffer.from(`{"MESSAGE":${text},"__REALTIME_TIMESTAMP":${text}}`)),
    ),
    holds(bytes: Buffer) {
      const record = recordOf(parseJson(bytes.toString("latin1")));
      return record === undefined ? undefined : journalEntry(record);
    },
  },
  "configuration of a daemon": {
    input: damaged(daemonConfigSeeds),
    holds(bytes: Buffer) {
      const text = bytes.toString();
      earlyoomLimits(text.split(/\s+/));
      nohangLimits(text);
      oomdLimits([text, text]);
      kubeletLimits(text);
    },
  },
  "state files": stateTarget(savedStates(kernelState), (saved) => {
    new KillLedger({ saved: saved as SavedLedger | undefined, nowMs });
  }),
  "state files of daemons' kills": stateTarget(savedStates(userspaceState), (saved) => {
    new UserspaceLedger({ saved: saved as SavedUserspaceLedger | undefined });
  }),
  // Taken, or refused in one line that names where.
  "web configuration": {
    input: damaged(configSeeds),
    holds(bytes: Buffer) {
      try {
        parseWebConfig(bytes.toString(), (name) => name);
      } catch (error) {
        if (!(error instanceof WebConfigError)) throw error;
        if (!/^line \d+: [^\n]+$/.test(error.message)) throw new Error(`message: ${error.message}`);
      }
    },
  },
  // Never answers 500, and always something.
  "URL, method and headers": {
    input: fc.record({
      url: damaged(requestSeeds),
      ...asRequest,
      host: headerText,
      accept: headerText,
      timeout: headerText,
    }),
    async holds(request: {
      url: Buffer;
      method: "GET";
      host: string;
      accept: string;
      timeout: string;
    }) {
      const url = request.url.toString("latin1").replace(/[^\x21-\x7e]/g, "%");
      const headers = {
        host: request.host,
        accept: request.accept,
        "accept-encoding": request.accept,
        "x-prometheus-scrape-timeout-seconds": request.timeout,
      };
      const path = url.startsWith("/") ? url : `/${url}`;
      const answer = await app
        .inject({ method: request.method, url: { pathname: path } as never, headers })
        .catch((error: Error) => {
          // The injector itself refuses what is no URL; a server's parser does, too.
          if (error.message.includes("Invalid URL")) return undefined;
          throw error;
        });
      if (answer !== undefined && answer.statusCode >= 500)
        throw new Error(`${answer.statusCode} ${path}`);
    },
  },
  "host, address, credentials, names of a certificate": {
    input: fc.string({ unit: "binary" }),
    holds(text: string) {
      isAcceptedHost(text, ["web-03"]);
      parseListenAddress(text);
      readCredentials(text);
      readCredentials(`Basic ${Buffer.from(text).toString("base64")}`);
      subjectAltNames(text);
      subjectAltNames(`DNS:${text}, URI:"${text}"`);
    },
  },
};

async function explained(bytes: Buffer, ends: number[]): Promise<string[]> {
  let stdout = "";
  const stdin = (async function* () {
    let from = 0;
    for (const end of ends) {
      if (end > from) yield bytes.subarray(from, end);
      from = end;
    }
  })();
  await explain(["--json", "-"], {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write() {} },
    stdin,
    clock: () => nowMs,
    rootfs: "/nonexistent",
    env: {},
  });
  return stdout.split("\n").filter((line) => line !== "");
}

function daemonKills(bytes: Buffer, cuts: number[]): unknown[] {
  const kills: unknown[] = [];
  const clock = { nowMs: () => nowMs, zone: utcZone };
  const scanner = new DaemonScanner({ clock, copied: true }, (kill) => kills.push(kill));
  for (const chunk of inChunks(bytes, cuts)) scanner.push(chunk);
  scanner.endOfInput();
  return kills;
}

/** No scanner keeps a chunk: the sender may reuse it. */
function* inChunks(bytes: Buffer, cuts: number[]): Generator<Buffer> {
  let from = 0;
  for (const end of [...[...cuts].sort((a, b) => a - b), bytes.length]) {
    if (end > from) yield Buffer.from(bytes.subarray(from, end));
    from = Math.max(from, end);
  }
}

/** Where a log says that there was no victim does not decide before or after which kill that is reported. */
function byKind(events: readonly { kind: string }[]): { kind: string }[] {
  return events.toSorted((one, other) => one.kind.localeCompare(other.kind));
}

function scanned(bytes: Buffer, cuts: number[]): { kind: string }[] {
  const events: { kind: string }[] = [];
  const clock = { nowMs: () => nowMs, zone: utcZone };
  const scanner = new KillScanner({ clock, losses: true, firstLine: 1 }, (event) =>
    events.push(event),
  );
  for (const chunk of inChunks(bytes, cuts)) scanner.push(chunk);
  scanner.endOfInput();
  return events;
}

function shown(value: unknown, length: number): string {
  const text = JSON.stringify(value, (_key, part) =>
    part?.type === "Buffer" ? Buffer.from(part.data).toString("latin1") : part,
  );
  return text === undefined ? "-" : text.slice(0, length);
}

const [, , , secondsText = "60", ...flags] = process.argv;
const option = (name: string) =>
  flags.find((flag) => flag.startsWith(`--${name}=`))?.slice(name.length + 3);
const seed = Number(option("seed") ?? Date.now() & 0x7fffffff);
const chosen = Object.entries(targets).filter(([name]) => name.includes(option("only") ?? ""));
const eachMs = (Number(secondsText) * 1000) / chosen.length;
let failed = false;

console.log(`seed ${seed}, ${Math.round(eachMs / 1000)} s for each of ${chosen.length} targets`);
for (const [name, { input, holds }] of chosen) {
  const begun = performance.now();
  let slowest = { ms: 0, value: undefined as unknown };
  let slowOnce = 0;
  const property = fc.asyncProperty(input, async (value) => {
    const cost = async () => {
      const start = process.cpuUsage();
      await holds(value as never);
      const { user, system } = process.cpuUsage(start);
      return (user + system) / 1000;
    };
    let ms = await cost();
    for (let again = 0; ms > doubtfulMs && again < 3; again++) {
      const repeated = await cost();
      if (ms > slowestMs && repeated <= slowestMs) slowOnce++;
      ms = Math.min(ms, repeated);
    }
    if (ms > slowest.ms) slowest = { ms, value };
    if (ms > slowestMs) throw new Error(`took ${Math.round(ms)} ms of processor time`);
  });
  const result = await fc.check(property, {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: eachMs,
  });
  const seconds = (performance.now() - begun) / 1000;
  const once = slowOnce === 0 ? "" : `, ${slowOnce} slow once and not again`;
  const runs = `${result.numRuns} runs, ${Math.round(result.numRuns / seconds)} a second, slowest ${slowest.ms.toFixed(1)} ms${once}`;
  if (result.failed) {
    failed = true;
    const [value] = result.counterexample ?? [];
    console.log(
      `FAILED  ${name}: ${runs}\n  ${String(result.errorInstance)}\n  path ${result.counterexamplePath}\n  ${shown(value, 4000)}`,
    );
  } else {
    console.log(`held    ${name}: ${runs}\n  slowest: ${shown(slowest.value, 300)}`);
  }
}
rmSync(state, { recursive: true, force: true });
process.exitCode = failed ? 1 : 0;
