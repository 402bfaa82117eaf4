/** `oom-exporter --check`: asks the running exporter with the same flags whether it is healthy. */
import { readFileSync } from "node:fs";
import { get as getPlain } from "node:http";
import { get as getSecure } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { parseServeFlags, type ServeFlags } from "../flags.ts";
import { isEveryInterface, type ListenAddress } from "../http/listeners.ts";
import { printable } from "../text/printable.ts";
import { WebConfigError } from "../web-config/web-config-error.ts";

export interface CheckIo {
  stderr: { write(text: string): unknown };
  env: Readonly<Record<string, string | undefined>>;
  /** A monotonic clock, milliseconds. */
  monotonicMs(): number;
}

const answerWithinMs = 5000;
const retryAfterMs = 200;
const serviceEndsWithinMs = 120_000;

/**
 * Any answer below 500 means healthy: an exporter that needs a password answers 401. So does a request for a client
 * certificate. The server's certificate is not verified, since it is not issued for loopback.
 *
 * With `--check.wait` it asks until the exporter is ready, the time is over, or the service's main process, which systemd
 * names in `$MAINPID`, has ended.
 *
 * @returns the exit code: 0 healthy, 1 not
 * @throws {UsageError | WebConfigError} as `serve` does, and after it: if the check failed first, systemd would end the
 *   main process with a signal, would not see its exit code 2 and would start it again and again
 */
export async function check(argv: readonly string[], io: CheckIo): Promise<number> {
  try {
    return await checkAs(parseServeFlags(argv, io.env), io);
  } catch (error) {
    await mainProcessEnds(io, serviceEndsWithinMs);
    throw error;
  }
}

async function checkAs(flags: ServeFlags, io: CheckIo): Promise<number> {
  const [address] = flags.listenAddresses;
  const waitMs = flags["check.wait"] * 1000;
  const where = {
    ...target(address as ListenAddress),
    path: waitMs > 0 ? "/-/ready" : "/-/healthy",
  };
  const scheme = await schemeOf(flags["web.config.file"]);
  const deadlineMs = io.monotonicMs() + waitMs;
  for (;;) {
    const obstacle = await ask(scheme, where);
    const hasEnded = waitMs > 0 && isGone(io.env.MAINPID);
    if (obstacle === undefined && !hasEnded) return 0;
    if (hasEnded || io.monotonicMs() >= deadlineMs) {
      const why = hasEnded ? `process ${io.env.MAINPID} has ended` : obstacle;
      const lack = waitMs > 0 ? "not ready" : "not healthy";
      io.stderr.write(`oom-exporter: ${lack}: ${printable(why ?? "")}\n`);
      return 1;
    }
    await delay(retryAfterMs);
  }
}

type Scheme = "http" | "https";

interface Target {
  host: string;
  port: number;
  path: string;
}

/** The exporter's address from its own machine. */
function target({ host, port }: ListenAddress): Omit<Target, "path"> {
  if (!isEveryInterface(host)) return { host: host as string, port };
  return { host: host === "::" ? "::1" : "127.0.0.1", port };
}

async function schemeOf(webConfigFile: string | undefined): Promise<Scheme> {
  if (webConfigFile === undefined) return "http";
  const { parseWebConfig } = await import("../web-config/web-config.ts");
  try {
    const { tls } = parseWebConfig(readFileSync(webConfigFile, "utf8"), (name) => name);
    return tls === undefined ? "http" : "https";
  } catch (error) {
    throw new WebConfigError(`${webConfigFile}: ${(error as Error).message}`);
  }
}

/** Why the exporter is not healthy; `undefined` if it is. */
function ask(scheme: Scheme, { host, port, path }: Target): Promise<string | undefined> {
  const url = `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}${path}`;
  const options = { rejectUnauthorized: false, timeout: answerWithinMs, agent: false as const };
  return new Promise((resolve) => {
    const get = scheme === "https" ? getSecure : getPlain;
    const request = get(url, options, (response) => {
      const { statusCode = 0 } = response;
      response.resume();
      resolve(statusCode < 500 ? undefined : `${url} answers ${statusCode}`);
      request.destroy();
    });
    request.on("timeout", () => {
      resolve(`${url} does not answer within ${answerWithinMs / 1000} s`);
      request.destroy();
    });
    request.on("error", (error: NodeJS.ErrnoException) => {
      resolve(isTlsAlert(error) ? undefined : `${url}: ${error.message}`);
    });
  });
}

/** The server uses TLS and rejects clients without a certificate. */
function isTlsAlert({ code = "", message }: NodeJS.ErrnoException): boolean {
  return /^ERR_SSL_\w*ALERT/.test(code) || /SSL alert number \d/.test(message);
}

/** Waits for the service's main process, if there is one. */
async function mainProcessEnds(io: CheckIo, withinMs: number): Promise<void> {
  const deadlineMs = io.monotonicMs() + withinMs;
  if (!isProcess(io.env.MAINPID)) return;
  while (!isGone(io.env.MAINPID) && io.monotonicMs() < deadlineMs) await delay(retryAfterMs);
}

function isProcess(pid: string | undefined): boolean {
  return pid !== undefined && /^[1-9]\d*$/.test(pid);
}

function isGone(pid: string | undefined): boolean {
  if (!isProcess(pid)) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
