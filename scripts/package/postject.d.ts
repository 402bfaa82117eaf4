declare module "postject" {
  /** Writes the data into the executable as a note of that name. */
  export function inject(
    path: string,
    name: string,
    data: Buffer,
    options: { sentinelFuse: string },
  ): Promise<void>;
}
