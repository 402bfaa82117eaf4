/** Sizes and percentages for people. */

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `1.4 GiB`, `512 MiB`, `980 B`. */
export function bytes(value: number): string {
  let unit = 0;
  let scaled = value;
  while (scaled >= 1023.95 && unit < units.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  const text = scaled.toFixed(unit === 0 || scaled >= 99.95 ? 0 : 1).replace(/\.0$/, "");
  return `${text} ${units[unit]}`;
}

/** `97 %`; never 0 % of something, nor 100 % of less than all. */
export function percent(part: number, whole: number): string {
  const exact = whole === 0 ? 0 : (part / whole) * 100;
  if (exact > 0 && exact < 1) return "under 1 %";
  return `${exact < 100 ? Math.min(99, Math.round(exact)) : Math.round(exact)} %`;
}
