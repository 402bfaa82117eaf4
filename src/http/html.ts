/** Text that is already HTML. */
export class Html {
  readonly text: string;

  /** Takes the text as it is: only for what this program wrote itself. */
  constructor(text: string) {
    this.text = text;
  }
}

export type HtmlValue = Html | string | number | undefined | null | false | readonly HtmlValue[];

/** Builds HTML; every value that is not HTML itself is escaped, for text and for quoted attributes alike. */
export function html(parts: TemplateStringsArray, ...values: HtmlValue[]): Html {
  return new Html(parts.reduce((text, part, index) => text + toHtml(values[index - 1]) + part));
}

function toHtml(value: HtmlValue): string {
  if (value === undefined || value === null || value === false) {
    return "";
  }
  if (value instanceof Html) {
    return value.text;
  }
  return typeof value === "object" ? value.map(toHtml).join("") : escapeHtml(String(value));
}

const entities: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/**
 * Escapes text for HTML and shows what would not be seen: control characters as the kernel shows
 * them in /dev/kmsg (`\x1b`), and those that turn the direction of writing (`\u202e`), with which a
 * process could name itself so as to read like another.
 */
export function escapeHtml(text: string): string {
  return text
    .replace(/[&<>"']/g, (character) => entities[character] as string)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
      const code = character.codePointAt(0) ?? 0;
      return code < 0x100
        ? `\\x${code.toString(16).padStart(2, "0")}`
        : `\\u${code.toString(16).padStart(4, "0")}`;
    });
}
