/** Bytes as text: those that are not UTF-8 as `\xff`, as the kernel log prints them. */
export function textOf(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString();
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const length = [1, 2, 3, 4].find((count) => isUtf8(bytes.subarray(at, at + count)));
    text +=
      length === undefined
        ? `\\x${(bytes[at] as number).toString(16).padStart(2, "0")}`
        : bytes.toString("utf8", at, at + length);
    at += length ?? 1;
  }
  return text;
}

/** Whether it is the same once decoded and encoded again. */
function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString()).equals(bytes);
}
