import { createHmac } from "node:crypto";

/** Credentials from a request: RFC 7617. */
export interface Credentials {
  user: string;
  password: string;
}

/** Checks a password against a bcrypt hash, off the event loop. */
export type Compare = (password: string, hash: string) => Promise<boolean>;

export type Verdict = "granted" | "refused" | "busy";

/** Cached results for wrong passwords. */
const refusalsKept = 100;
/** Maximum number of queued checks; one costs 60 ms or more of processor time. */
const waitingAtMost = 32;

/** Parses an Authorization header; `undefined` if it does not use the Basic scheme. */
export function readCredentials(header: string | undefined): Credentials | undefined {
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(header ?? "")?.[1];
  if (encoded === undefined || encoded.length % 4 !== 0) return undefined;
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon < 0) return undefined;
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/**
 * Decides who gets access. One check runs at a time. Correct passwords are cached per user, and the last hundred
 * wrong ones too, so that a flood of wrong passwords neither delays a known client nor grows memory. The cache holds
 * keyed digests, not passwords.
 *
 * An unknown user costs as much as a known one: the password is checked against the hash of a known user, always
 * the same one for the same name.
 */
export class BasicAuth {
  readonly #compare: Compare;
  readonly #secret: Buffer;
  readonly #granted = new Map<string, string>();
  readonly #refused = new Set<string>();
  readonly #pending = new Map<string, Promise<boolean>>();
  #last: Promise<unknown> = Promise.resolve();

  /** @param secret random bytes that key the digests */
  constructor(compare: Compare, secret: Buffer) {
    this.#compare = compare;
    this.#secret = secret;
  }

  /** @param users bcrypt hashes by user name; at least one */
  async check(
    { user, password }: Credentials,
    users: ReadonlyMap<string, string>,
  ): Promise<Verdict> {
    const known = users.get(user);
    const hash = known ?? this.#decoy(user, [...users.values()]);
    const digest = this.#digest([user, hash, password]).toString("base64");
    if (known !== undefined && this.#granted.get(user) === digest) return "granted";
    if (this.#refused.has(digest)) return "refused";
    const running = this.#pending.get(digest);
    if (running === undefined && this.#pending.size >= waitingAtMost) return "busy";
    const isRight = (await (running ?? this.#begin(digest, password, hash))) && known !== undefined;
    if (isRight) this.#granted.set(user, digest);
    else this.#keepRefusal(digest);
    return isRight ? "granted" : "refused";
  }

  #begin(digest: string, password: string, hash: string): Promise<boolean> {
    const comparison = this.#last.then(() => this.#compare(password, hash));
    this.#last = comparison.catch(() => {});
    const done = comparison.finally(() => this.#pending.delete(digest));
    this.#pending.set(digest, done);
    return done;
  }

  #decoy(user: string, hashes: readonly string[]): string {
    return hashes[this.#digest([user]).readUInt32BE() % hashes.length] as string;
  }

  /** Each part is preceded by its length, so that no two lists have the same digest input. */
  #digest(parts: readonly string[]): Buffer {
    const hmac = createHmac("sha256", this.#secret);
    for (const part of parts) hmac.update(`${Buffer.byteLength(part)}:`).update(part);
    return hmac.digest();
  }

  #keepRefusal(digest: string): void {
    this.#refused.add(digest);
    const [oldest] = this.#refused;
    if (this.#refused.size > refusalsKept) this.#refused.delete(oldest as string);
  }
}
