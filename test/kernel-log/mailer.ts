/** Breaks a line at the last blank that fits, as mailers do. */
export function rowsOf(line: string, width: number): string[] {
  const rows: string[] = [];
  for (const word of line.split(" ")) {
    const row = rows.at(-1);
    if (row !== undefined && row.length + 1 + word.length <= width) {
      rows[rows.length - 1] = `${row} ${word}`;
    } else rows.push(word);
  }
  return rows;
}
