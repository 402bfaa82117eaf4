/**
 * Text whose lines end with a carriage return alone, as some terminals save them, or whose stamps, hosts and tags are
 * separated by tabs, as spreadsheets and `column` leave them.
 *
 *     [    8.640407] ...\r[    8.640409] ...\r
 *     Nov 20\t13:23:50\tweb1\tkernel:\tOut of memory: ...
 *     [\t8.640407]\tOut of memory: ...
 */

const kernelWords = /illed process |oom-kill/;
const tabbedStamp =
  /^(?:\[[\t ]*\d+\.\d{6}\][\t ]|[A-Z][a-z]{2}[\t ]{1,2}\d{1,2}[\t ]\d\d:\d\d:\d\d[\t ][\w.-]{1,64}[\t ]kernel:[\t ])/gm;

/** Whether carriage returns are the only ends of lines. */
export function hasLoneReturns(head: Uint8Array): boolean {
  if (!head.includes(0x0d) || head.includes(0x0a)) return false;
  return kernelWords.test(Buffer.from(head).toString("latin1"));
}

/** Makes newlines of carriage returns. */
export class NewlinesForReturns {
  push(bytes: Uint8Array): Buffer {
    return Buffer.from(bytes.map((byte) => (byte === 0x0d ? 0x0a : byte)));
  }

  end(): Buffer {
    return Buffer.alloc(0);
  }
}

/** Whether there are tabs in the stamps before the kernel's messages. */
export function hasTabbedStamps(head: Uint8Array): boolean {
  if (!head.includes(0x09)) return false;
  const text = Buffer.from(head).toString("latin1");
  return (
    (text.match(tabbedStamp) ?? []).some((stamp) => stamp.includes("\t")) && kernelWords.test(text)
  );
}

const maxHeldLength = 64 * 1024;

/** Makes blanks of these tabs, in pieces as the bytes arrive; the last line waits for its end. */
export class BlanksInStamps {
  #held = "";

  push(bytes: Uint8Array): Buffer {
    const text = this.#held + Buffer.from(bytes).toString("latin1");
    const end = text.lastIndexOf("\n") + 1;
    const cut = text.length - end > maxHeldLength ? text.length : end;
    this.#held = text.slice(cut);
    return withBlanks(text.slice(0, cut));
  }

  end(): Buffer {
    return withBlanks(this.#held);
  }
}

function withBlanks(text: string): Buffer {
  return Buffer.from(
    text.replace(tabbedStamp, (stamp) => stamp.replaceAll("\t", " ")),
    "latin1",
  );
}
