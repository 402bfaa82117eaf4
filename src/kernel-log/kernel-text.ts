/**
 * The bytes of kernel text, and how log writers escape them.
 *
 * Text is held with one character per byte (latin1) until it is shown, because a name may contain any bytes.
 */
import { textOf } from "../text/escaped-bytes.ts";

/** Whether its bytes and its characters are the same. */
function isAscii(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the ASCII range
  return /^[\x00-\x7f]*$/.test(text);
}

/** Decodes text of bytes (one character per byte) for people: UTF-8, invalid bytes as U+FFFD. */
export function decodeUtf8(bytes: string): string {
  return isAscii(bytes) ? bytes : Buffer.from(bytes, "latin1").toString("utf8");
}

/** Decodes the path of a cgroup: invalid bytes as `\xff`, as the cgroup is shown where it is read. */
export function decodeCgroup(bytes: string): string {
  return isAscii(bytes) ? bytes : textOf(Buffer.from(bytes, "latin1"));
}

/**
 * A copy of text of bytes. V8 lets a part of a string hold the whole of it in memory if the part has 13 characters or
 * more: what is kept of a kill must not hold a MiB of the log that its line was cut from.
 */
export function copyOfBytes(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("latin1");
}

/** The reverse: UTF-8 bytes, one character each. */
export function bytesOfString(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

/** /dev/kmsg escapes every byte outside printable ASCII, and the backslash. */
export function unescapeHex(text: string): string {
  if (!text.includes("\\x")) return text;
  return text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** dmesg(1) writes only unprintable bytes as `\xHH`; a real backslash in a name stays unescaped. */
export function unescapeDmesg(text: string): string {
  if (!text.includes("\\x")) return text;
  return text.replace(/\\x([01][0-9a-f]|7f|[89a-f][0-9a-f])/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/**
 * rsyslog writes a control character as `#ooo`. It does so for bytes above 0x7f only with
 * `$Escape8BitCharactersOnReceive`, and then always several in a row (UTF-8), so a thread name like `pool#200` is safe.
 */
export function unescapeSyslog(text: string): string {
  if (!text.includes("#")) return text;
  return text.replace(/(?:#[23][0-7]{2}){2,}|#(?:0[0-3][0-7]|177)/g, (escapes) =>
    escapes.replace(/#([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    ),
  );
}
