import { spawn } from "node:child_process";
import { once } from "node:events";

/**
 * Takes a lock that other processes honour, too, and waits for it as long as it takes. `flock` ends
 * with this process, however that ends: no lock outlives its holder. Returns how to give it back.
 */
export async function takeLock(path: string): Promise<() => Promise<void>> {
  const holder = spawn("flock", [path, "sh", "-c", "echo; exec cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(holder, "close");
  const [outcome] = await Promise.race([once(holder.stdout, "data"), ended]);
  if (!Buffer.isBuffer(outcome)) throw new Error(`flock ${path} ended with exit code ${outcome}`);
  return async () => {
    holder.stdin.end();
    await ended;
  };
}
