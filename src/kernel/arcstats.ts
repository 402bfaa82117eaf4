/*
 * /proc/spl/kstat/zfs/arcstats
 * https://openzfs.github.io/openzfs-docs/man/master/4/zfs.4.html (zfs_arc_max)
 * OpenZFS on Linux, since 0.6.
 *
 *   file = header line, "name type data" line, { name blanks type blanks decimal "\n" }
 *
 *   13 1 0x01 147 39984 7183251735 1260583172
 *   name                            type data
 *   size                            4    8438104704
 *   c_max                           4    16777216000
 */

/** Bytes that the ARC uses now; `undefined` if the text has no size. */
export function parseArcSize(text: string): number | undefined {
  const size = /^size +\d+ +(\d+)$/m.exec(text)?.[1];
  return size === undefined ? undefined : Number(size);
}
