import { createHash } from "node:crypto";

export function sha256(contents: Buffer | string): string {
  return createHash("sha256").update(contents).digest("hex");
}

/** What dpkg --verify compares with. */
export function md5(contents: Buffer | string): string {
  return createHash("md5").update(contents).digest("hex");
}
