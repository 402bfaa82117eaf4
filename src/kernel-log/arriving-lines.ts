/** Cuts a log into lines as its bytes arrive. A carriage return before the newline is dropped. */
export class ArrivingLines {
  #rest = "";

  /** The lines that ended with these bytes, one character per byte. */
  push(bytes: Uint8Array): string[] {
    const lines = (this.#rest + Buffer.from(bytes).toString("latin1")).split("\n");
    this.#rest = lines.pop() ?? "";
    return lines.map(withoutReturn);
  }

  /** End of the log: a last line without newline. */
  end(): string[] {
    const rest = this.#rest;
    this.#rest = "";
    return rest === "" ? [] : [withoutReturn(rest)];
  }
}

function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
