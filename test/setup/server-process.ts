import { spawn } from "node:child_process";
import { once } from "node:events";
import { eventually } from "./exporter-process.ts";

/** Prometheus or Alertmanager, running. */
export interface ServerProcess {
  /** `host:port`, chosen by the kernel. */
  address: string;
  /** Ends it at once. */
  end(): Promise<void>;
}

/** Starts it on a free loopback port and waits until it is ready. */
export async function startServer(
  program: string,
  flags: readonly string[],
): Promise<ServerProcess> {
  const child = spawn(program, ["--web.listen-address=127.0.0.1:0", ...flags], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  child.stderr.on("data", (chunk) => {
    log += chunk;
  });
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  try {
    const address = await eventually(`${program} listens`, async () => {
      if (child.exitCode !== null) throw new Error(`${program} ended: ${log}`);
      return /msg="Listening on".* address=(\S+)/.exec(log)?.[1];
    });
    await eventually(`${program} is ready`, async () => {
      const answer = await fetch(`http://${address}/-/ready`).catch(() => undefined);
      return answer?.ok;
    });
    return { address, end };
  } catch (error) {
    await end();
    throw error;
  }
}
