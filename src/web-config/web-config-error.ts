/** A web configuration that cannot be taken; the message is one line that names the key. */
export class WebConfigError extends Error {
  override readonly name = "WebConfigError";
}
