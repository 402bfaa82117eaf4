/** Who wrote a message, as far as its envelope can prove it. */
export type MessageOrigin =
  /** The envelope proves the kernel: kmsg facility 0, journald `_TRANSPORT=kernel`, kern facility shown. */
  | "kernel"
  /** Looks like the kernel's, and nothing in the envelope can prove or refute it. */
  | "unverified"
  /** The envelope proves that user space wrote it. */
  | "user";

/** One message of the kernel log with its envelope taken off. */
export interface KernelMessage {
  /** The kernel's own text, one character per byte (latin1), escapes of the envelope undone. */
  text: string;
  origin: MessageOrigin;
  /** printk clock: microseconds since boot. */
  printkMicros?: number;
  /** Wall clock: milliseconds since the epoch. */
  timeMs?: number;
  /** Boot id, 32 hex digits without dashes, where the envelope carries one (journald). */
  bootId?: string;
  /** kmsg sequence number. */
  sequence?: number;
  /** `CONFIG_PRINTK_CALLER`: `T123` for a task, `C0` for a processor. */
  callerId?: string;
  /** printk level 0 (emerg) to 7 (debug). */
  level?: number;
  /** True for a line without an envelope of its own: the rest of the record before it (embedded newline). */
  continues?: boolean;
}
