/**
 * Whether the system (or zlib) reported the error: then it has a number. Node's own errors, such as `ERR_INVALID_ARG_TYPE`,
 * also have a code, but are bugs in this program.
 */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).errno === "number";
}
