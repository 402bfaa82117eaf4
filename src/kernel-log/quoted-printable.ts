/**
 * A mail as it was transferred: `=3D` for `=`, and long lines broken by a `=` at their end.
 *
 *     > [   66.961150] test_maps invoked oom-killer: gfp_mask=3D0x100cca(GFP_HIGH=
 *     USER_MOVABLE), order=3D0, oom_score_adj=3D0
 *
 * Format: RFC 2045, section 6.7.
 */
import { ArrivingLines } from "./arriving-lines.ts";

/** Where the kernel writes `key=value`, and in lines of which a mail has many. */
const inKernelText =
  /\b(?:gfp_mask|order|constraint|oom_score_adj|mems_allowed|task)=3D|swap {1,2}=3D/;
/** Such mails have lines of at most 76 characters, or a few more where they were quoted. */
const softBreak = /^.{40,80}=\r?$/m;
const kernelText = /illed[\s>]+process|oom-kill/;
/** Such a mail has no equals sign of its own: a terminal broke the line there. */
const plainEquals =
  /\b(?:gfp_mask|order|constraint|oom_score_adj|mems_allowed|hugepages_total)=(?!3D|\s|$)/;
const escaped = /=([0-9A-F]{2})/g;

/** Whether a log is such a mail, by its beginning. */
export function isQuotedPrintable(head: Uint8Array): boolean {
  const text = Buffer.from(head).toString("latin1");
  return (
    inKernelText.test(text) ||
    (softBreak.test(text) &&
      kernelText.test(text.replace(/=\r?\n/g, "")) &&
      !plainEquals.test(text))
  );
}

/**
 * Decodes the lines, in pieces as the bytes arrive.
 *
 * Invariant: the lines do not depend on how the bytes are cut into pieces.
 */
export class DecodedMail {
  readonly #lines = new ArrivingLines();
  #held: string | undefined;
  #read = 0;
  readonly #numbers: number[] = [];

  /** Takes bytes of the log. Returns complete lines. */
  push(bytes: Uint8Array): Buffer {
    return this.#take(this.#lines.push(bytes));
  }

  /** End of the log: returns the last line. */
  end(): Buffer {
    const last = this.#take(this.#lines.end());
    const held = this.#held === undefined ? "" : `${this.#held}\n`;
    this.#held = undefined;
    return Buffer.concat([last, Buffer.from(held, "latin1")]);
  }

  /** Line of the log where a returned line begins (both 1-based). */
  lineNumber(line: number): number {
    return this.#numbers[line - 1] ?? line;
  }

  #take(lines: readonly string[]): Buffer {
    const whole: string[] = [];
    for (const line of lines) {
      this.#read += 1;
      if (this.#held === undefined) this.#numbers.push(this.#read);
      const isBroken = line.endsWith("=");
      const text = decoded(isBroken ? line.slice(0, -1) : line);
      const joined = `${this.#held ?? ""}${text}`;
      this.#held = isBroken ? joined : undefined;
      if (!isBroken) whole.push(joined, "\n");
    }
    return Buffer.from(whole.join(""), "latin1");
  }
}

function decoded(text: string): string {
  return text.replace(escaped, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
