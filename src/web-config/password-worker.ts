import { Worker } from "node:worker_threads";
import type { Compare } from "./basic-auth.ts";
import { plainHash } from "./bcrypt-hash.ts";

/** A thread costs 5 MiB: it is given up when nobody has needed it for so long. */
const idleMs = 10_000;

/** The thread's program, bcrypt-thread.ts, which the build puts in here: what runs is one file. */
declare const bcryptThread: string;

/** Answers one question at a time on a thread of its own, which is started when it is needed. */
export class PasswordWorker {
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;

  /** To be called again only when the answer is there. @throws where the thread cannot be had */
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
    // After an answer nobody waits for it: its end is no failure then.
    worker.on("error", () => {});
    return worker;
  }
}
