/** Characters that a terminal would interpret: control, format and bidirectional characters. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * A value as JSON on one line that is safe to print. A process chooses its own name, and an escape sequence or a
 * right-to-left mark in it would rewrite the reader's screen. JSON parsers read the same value.
 */
export function jsonText(value: unknown): string {
  return printableJson(JSON.stringify(value));
}

/** The same for one line of JSON text: these characters can occur only in its strings. */
export function printableJson(json: string): string {
  return json.replace(unprintable, (character) =>
    Array.from(
      { length: character.length },
      (_, unit) => `\\u${character.charCodeAt(unit).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}

/**
 * A copy of what JSON can hold. Its strings are its own: those cut from a larger text, of 13 characters or more, would
 * keep that text in memory as long as they are kept.
 */
export function jsonCopy<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value)) as Value;
}
