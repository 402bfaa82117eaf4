/** `$2y$10$` and 53 characters of salt and hash; what may stand behind them does not count. */
const minimumLength = 59;
const lowestCost = 4;
const highestCost = 31;

/** What is wrong with a bcrypt hash, as exporter-toolkit checks it; `undefined` where nothing is. */
export function bcryptComplaint(hash: string): string | undefined {
  if (Buffer.byteLength(hash) < minimumLength) return "not a bcrypt hash: too short";
  if (hash[0] !== "$" || (hash[1] as string) > "2") return "not a bcrypt hash of version 2";
  const cost = hash.slice(costStart(hash), costStart(hash) + 2);
  if (!/^\d\d$/.test(cost)) return `not a bcrypt hash: ${JSON.stringify(cost)} is no cost`;
  if (Number(cost) < lowestCost || Number(cost) > highestCost) {
    return `its cost ${cost} is not from ${lowestCost} to ${highestCost}`;
  }
  return undefined;
}

/** Behind `$2$` or `$2y$`. */
function costStart(hash: string): number {
  return hash[2] === "$" ? 3 : 4;
}

/**
 * The hash in the form that every implementation knows. The letter tells bugs of old programs apart;
 * like exporter-toolkit we compare all in the same way.
 */
export function plainHash(hash: string): string {
  return `$2b$${hash.slice(costStart(hash), costStart(hash) + 56)}`;
}
