/** An address that cannot be listened on; the message is one line for the user. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}
