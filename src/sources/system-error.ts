/**
 * Whether the system (or zlib) reported the error: then it has a number. Node's own errors, such as `ERR_INVALID_ARG_TYPE`,
 * also have a code, but are bugs in this program.
 */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).errno === "number";
}

const shortages: ReadonlySet<string | undefined> = new Set(["EMFILE", "ENFILE", "ENOMEM"]);

/** Whether it says nothing about the file: this process or the system has no more descriptors or memory at the moment. */
export function isShortage(error: unknown): boolean {
  return isSystemError(error) && shortages.has(error.code);
}
