/** An invalid web configuration; the message is one line that names the key. */
export class WebConfigError extends Error {
  override readonly name = "WebConfigError";
}
