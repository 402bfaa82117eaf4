/** The part of a response that matters for sending. */
interface Sent {
  once(event: "close", listener: () => void): unknown;
  destroy(): unknown;
}

/** Maximum number of bytes of answers that wait for their clients. */
const defaultLimitBytes = 32 * 1024 * 1024;

/**
 * The answers that clients are still reading. One pass serves many clients, so an answer counts once. If all
 * together use too much memory, clients that asked for much and read slowly are cut off, oldest first.
 */
export class UnsentAnswers {
  readonly #limitBytes: number;
  readonly #onCut: () => void;
  readonly #responses = new Map<Buffer, Set<Sent>>();
  #bytes = 0;

  constructor(onCut: () => void, limitBytes = defaultLimitBytes) {
    this.#onCut = onCut;
    this.#limitBytes = limitBytes;
  }

  /** Records that `response` is about to send `answer`. Its `close` is still to come. */
  add(answer: Buffer, response: Sent): void {
    let responses = this.#responses.get(answer);
    if (responses === undefined) {
      responses = new Set();
      this.#responses.set(answer, responses);
      this.#bytes += answer.length;
    }
    responses.add(response);
    response.once("close", () => this.#remove(answer, response));
    for (const [oldest, readers] of this.#responses) {
      if (this.#bytes <= this.#limitBytes || oldest === answer) return;
      for (const reader of readers) {
        this.#remove(oldest, reader);
        reader.destroy();
        this.#onCut();
      }
    }
  }

  #remove(answer: Buffer, response: Sent): void {
    const responses = this.#responses.get(answer);
    if (responses?.delete(response) !== true || responses.size > 0) return;
    this.#responses.delete(answer);
    this.#bytes -= answer.length;
  }
}
