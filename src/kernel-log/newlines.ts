export const newline = 0x0a;

/** Number of newlines in a part of `bytes`. `indexOf` of one byte is memchr, faster than any loop over the bytes. */
export function newlinesIn(bytes: Buffer, from = 0, until = bytes.length): number {
  const part = bytes.subarray(from, until);
  let count = 0;
  for (let at = part.indexOf(newline); at >= 0; at = part.indexOf(newline, at + 1)) count += 1;
  return count;
}
