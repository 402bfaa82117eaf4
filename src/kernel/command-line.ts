/*
 * /proc/PID/cmdline
 * https://docs.kernel.org/filesystems/proc.html#process-specific-subdirectories
 * Since 2.0; a process may write over it (setproctitle) since 4.2 in full.
 *
 *   file = { argument NUL }, or a title that the process wrote over its arguments
 *
 *   /usr/bin/java\0-Xmx2g\0-Ddb.password=...\0-jar\0/srv/billing.jar\0--port=8080\0
 *
 * Arguments hold secrets, so what is taken from them is an allowlist: the one script, module, main class,
 * jar or node name that a known interpreter was started with. An option that is not in the interpreter's
 * table may give the next argument any meaning: then nothing is taken.
 */

/** Names of scripts, modules, classes; nothing else is ever taken from a command line. */
const namePattern = /^[A-Za-z0-9._$-]{1,64}$/;
/** TASK_COMM_LEN without its NUL. */
const commBytes = 15;

/** Whether the kernel may have cut off the end of this comm. */
export function isCut(comm: string): boolean {
  return Buffer.byteLength(comm) >= commBytes;
}

/** How an interpreter reads the arguments before the name of what it runs. */
interface Interpreter {
  /** Matches the last part of the path of argument 0. */
  executable: RegExp;
  /** Options that stand alone or have their value attached. */
  alone: RegExp;
  /** Options whose value is the next argument. */
  withValue?: RegExp;
  /** Options after which the next argument is what runs. */
  naming?: RegExp;
  /** What the first argument that is no option has to look like; default anything. */
  script?: RegExp;
}

const interpreters: readonly Interpreter[] = [
  {
    executable: /^java$/,
    alone:
      /^(-X.*|-D.*|-(javaagent|agentlib|agentpath|verbose|splash|ea|da|enableassertions|disableassertions):.*|-(verbose|ea|da|esa|dsa|enableassertions|disableassertions|server|client|d32|d64|showversion|-show-version|-enable-preview)|--(add-opens|add-exports|add-reads|add-modules|class-path|module-path|enable-native-access|patch-module|limit-modules|upgrade-module-path|illegal-access|finalization|sun-misc-unsafe-memory-access|illegal-native-access)=.*)$/,
    withValue:
      /^(-cp|-classpath|-p|--(class-path|module-path|add-opens|add-exports|add-reads|add-modules|enable-native-access|patch-module|limit-modules|upgrade-module-path))$/,
    naming: /^(-jar|-m|--module)$/,
    script: /^[^@]/,
  },
  {
    executable: /^(python|pypy)[0-9.]*$/,
    alone: /^(-[bBdEiIOPqRsSuvx]+|-[WX].+|--check-hash-based-pycs=.*)$/,
    withValue: /^(-[bBdEiIOPqRsSuvx]*[WX]|--check-hash-based-pycs)$/,
    naming: /^-[bBdEiIOPqRsSuvx]*m$/,
  },
  {
    executable: /^node(js)?$/,
    alone:
      /^--(inspect(-brk|-port|-wait|-publish-uid)?(=.*)?|(max|min|initial|semi)[-_][a-z_-]+=\d+|stack[-_]size=\d+|expose[-_]gc|enable-source-maps|no-[a-z-]+|preserve-symlinks(-main)?|single-threaded|trace-[a-z-]+|throw-deprecation|pending-deprecation|abort-on-uncaught-exception|unhandled-rejections=[a-z-]+|heapsnapshot-near-heap-limit=\d+|heapsnapshot-signal=\w+|optimize[-_]for[-_]size|jitless|use-[a-z-]+|(require|import|conditions|env-file|env-file-if-exists|title|dns-result-order|tls-[a-z0-9.-]+|openssl-[a-z-]+|report-[a-z-]+|diagnostic-dir|experimental-loader|loader)=.*|report-(on-fatalerror|on-signal|uncaught-exception|compact)|experimental-(strip-types|transform-types|vm-modules|wasm-modules|json-modules|modules|fetch|global-webcrypto|permission|require-module|sqlite|websocket|worker))$/,
    withValue:
      /^--(require|import|loader|experimental-loader|conditions|env-file|env-file-if-exists)$/,
  },
  {
    executable: /^ruby[0-9.]*$/,
    alone:
      /^(-[adlnpsSUvw]+|-W[:\w-]*|-[IEK].+|--(yjit|rjit|jit|mjit)[\w=-]*|--(enable|disable|encoding|external-encoding|internal-encoding)[=-].*)$/,
    withValue: /^-I$/,
  },
  {
    executable: /^perl[0-9.]*$/,
    alone: /^-([wWtTuUXsS]+|I.+|[mM].+|C\w*)$/,
    withValue: /^-I$/,
  },
  {
    executable: /^(ba|da|a|z|k|mk)?sh$/,
    alone:
      /^([-+][aBbCEfHhikllmnpPTtuvx]+|--(login|noprofile|norc|noediting|posix|restricted|verbose))$/,
    withValue: /^([-+][oO]|--(rcfile|init-file))$/,
  },
  {
    executable: /^php(-cgi)?[0-9.]*(-cgi)?$/,
    alone: /^-([nqCH]+|d.+)$/,
    withValue: /^-d$/,
    naming: /^-f$/,
  },
  {
    executable: /^dotnet$/,
    alone: /^exec$/,
    withValue:
      /^--(depsfile|runtimeconfig|additionalprobingpath|additional-deps|fx-version|roll-forward|roll-forward-on-no-candidate-fx)$/,
    script: /\.dll$/,
  },
];

/** The files of a process that say what it runs. */
export interface CommandLine {
  /** /proc/PID/cmdline, or its beginning. */
  bytes: Buffer;
  /** False where there is more: the last argument is not used then. */
  isWhole: boolean;
  /** What /proc/PID/exe leads to; needed only where comm is cut. */
  executable?: string;
  comm: string;
}

/**
 * What a process runs: `billing.jar` of `java -jar /srv/billing.jar --port=1`, `gunicorn` of
 * `python3 -m gunicorn`, `www` of the title `php-fpm: pool www`, the name of the executable where comm is cut.
 * `undefined` where neither the table nor comm says that it is one of these.
 */
export function programOf({ bytes, isWhole, executable, comm }: CommandLine): string | undefined {
  const parts = bytes.toString("utf8").split("\0");
  if (!isWhole) parts.pop();
  // Behind the last NUL stands nothing; a title ends in any number of them.
  while (parts.at(-1) === "") parts.pop();
  const [first = "", ...args] = parts;
  if (args.length === 0) {
    const pool = /^php-fpm[0-9.]*: pool (\S+) *$/.exec(first)?.[1];
    if (pool !== undefined) return named(pool);
  }
  const called = baseOf(first.replace(/^-/, ""));
  if (/^beam(\.smp)?$/.test(called)) return erlangNode(args);
  const interpreter = interpreters.find((known) => known.executable.test(called));
  if (interpreter !== undefined) return runBy(interpreter, args);
  const name = baseOf((executable ?? "").replace(/ \(deleted\)$/, ""));
  return isCut(comm) && name !== comm && name.startsWith(comm) ? named(name) : undefined;
}

function runBy(
  { alone, withValue, naming, script = /./ }: Interpreter,
  args: readonly string[],
): string | undefined {
  for (let at = 0; at < args.length; at++) {
    const argument = args[at] as string;
    if (naming?.test(argument)) return named(baseOf(args[at + 1] ?? ""));
    if (withValue?.test(argument)) at++;
    else if (argument === "--") return named(baseOf(args[at + 1] ?? ""));
    else if (!alone.test(argument)) {
      const isName = !/^[-+]/.test(argument) && script.test(argument);
      return isName ? named(baseOf(argument)) : undefined;
    }
  }
  return undefined;
}

/**
 * The node's name without its host: `-sname rabbit@db1`. An option of erl has all that follows as its
 * values, up to the next that begins with `-` or `+`; behind `-extra` stands the application's own.
 */
function erlangNode(args: readonly string[]): string | undefined {
  for (const [at, argument] of args.entries()) {
    if (/^-(extra|eval|run)$/.test(argument)) return undefined;
    if (/^-s?name$/.test(argument)) return named((args[at + 1] ?? "").replace(/@.*$/s, ""));
  }
  return undefined;
}

function baseOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** A copy: a part of the command line, which may hold passwords, would keep all of it in memory. */
function named(name: string): string | undefined {
  const isName = namePattern.test(name) && /[^.]/.test(name) && !name.startsWith("-");
  return isName ? Buffer.from(name).toString() : undefined;
}
