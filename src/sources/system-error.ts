/**
 * Whether the system (or zlib) refused something: then the error has its number. Node's own errors,
 * such as `ERR_INVALID_ARG_TYPE`, have a code as well, but are mistakes of this program.
 */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).errno === "number";
}
