/** `$2y$10$` and 53 characters of salt and hash; anything after them is ignored. */
const minimumLength = 59;
const lowestCost = 4;
const highestCost = 31;

/** What is wrong with a bcrypt hash, by the rules of exporter-toolkit; `undefined` if it is valid. */
export function bcryptComplaint(hash: string): string | undefined {
  if (Buffer.byteLength(hash) < minimumLength) return "not a bcrypt hash: too short";
  if (hash[0] !== "$" || (hash[1] as string) > "2") return "not a bcrypt hash of version 2";
  const cost = hash.slice(costStart(hash), costStart(hash) + 2);
  if (!/^\d\d$/.test(cost)) return `not a bcrypt hash: ${JSON.stringify(cost)} is not a cost`;
  if (Number(cost) < lowestCost || Number(cost) > highestCost) {
    return `its cost ${cost} is not between ${lowestCost} and ${highestCost}`;
  }
  return undefined;
}

/** After `$2$` or `$2y$`. */
function costStart(hash: string): number {
  return hash[2] === "$" ? 3 : 4;
}

/**
 * The hash in the form that every implementation accepts. The letter marks bugs of old programs; like
 * exporter-toolkit we compare all of them in the same way.
 */
export function plainHash(hash: string): string {
  return `$2b$${hash.slice(costStart(hash), costStart(hash) + 56)}`;
}
