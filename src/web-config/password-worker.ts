import { Worker } from "node:worker_threads";
import type { Compare } from "./basic-auth.ts";
import { plainHash } from "./bcrypt-hash.ts";

/** The thread costs 5 MiB, so it ends after being idle for this long. */
const idleMs = 10_000;

/** The thread's program, bcrypt-thread.ts, inlined by the build, because the program is one file. */
declare const bcryptThread: string;

/** Answers one request at a time on a separate thread, which starts on demand. */
export class PasswordWorker {
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;

  /** Call it again only after the answer. @throws if the thread cannot be started */
  readonly compare: Compare = (password, hash) => {
    clearTimeout(this.#idle);
    this.#worker ??= this.#start();
    const worker = this.#worker;
    return new Promise<boolean>((resolve, reject) => {
      const failed = (error: unknown) => {
        this.#worker = undefined;
        reject(error instanceof Error ? error : new Error("the password thread ended"));
      };
      worker.once("error", failed);
      worker.once("exit", failed);
      worker.once("message", (isRight: boolean) => {
        worker.removeListener("error", failed);
        worker.removeListener("exit", failed);
        this.#idle = setTimeout(() => this.close(), idleMs).unref();
        resolve(isRight);
      });
      worker.postMessage({ password, hash: plainHash(hash) });
    });
  };

  close(): void {
    clearTimeout(this.#idle);
    void this.#worker?.terminate();
    this.#worker = undefined;
  }

  #start(): Worker {
    const worker = new Worker(bcryptThread, {
      eval: true,
      resourceLimits: { maxOldGenerationSizeMb: 16 },
    });
    worker.unref();
    // After an answer nothing waits for the thread, so its end is not an error.
    worker.on("error", () => {});
    return worker;
  }
}
