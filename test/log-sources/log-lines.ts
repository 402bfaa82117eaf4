import type { LogFileListener } from "../../src/log-sources/log-file.ts";
import type { LogPosition } from "../../src/log-sources/log-identity.ts";

/** A reader that keeps lines, and the position after the last whole one: what may be saved. */
export class LogLines implements LogFileListener {
  lines: string[] = [];
  events: string[] = [];
  losses: string[] = [];
  /** How many lines had come when catching up ended. */
  linesCaughtUp: number | undefined;
  position: LogPosition | undefined;
  #partial = "";

  bytes(chunk: Buffer, at: LogPosition): void {
    const text = this.#partial + chunk.toString("latin1");
    const parts = text.split("\n");
    this.#partial = parts.pop() ?? "";
    for (const line of parts) this.lines.push(line);
    const lineEnd = chunk.lastIndexOf(0x0a) + 1;
    if (lineEnd > 0 || this.position === undefined) {
      this.position = { ...at, offset: at.offset + lineEnd };
    }
  }

  endOfFile(): void {
    if (this.#partial !== "") this.lines.push(this.#partial);
    this.#partial = "";
  }

  caughtUp(): void {
    this.linesCaughtUp = this.lines.length;
    this.events.push("caught up");
  }

  stateChanged(state: { up: boolean; reason?: string }): void {
    this.events.push(state.up ? "up" : `down: ${state.reason}`);
  }

  rotated(kind: "rename" | "truncate"): void {
    this.events.push(kind);
  }

  lost(reason: string): void {
    this.losses.push(reason);
  }
}
