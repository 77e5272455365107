/**
 * A state file as an instance is given it. The main thread's, who closes and unmaps it only after the
 * device's last instance has let go of it.
 */
export interface StateMemory {
  /** Open for reading and writing, and locked. */
  readonly fd: number;
  /** Where {@link STATE_MAP_LENGTH} bytes of the file are mapped; those behind its end are not to be touched. */
  readonly pointer: bigint;
}

/** Before the device's bytes; says what they are. */
export const STATE_HEADER_LENGTH = 128;
/** Most bytes of a device's state. */
export const STATE_MAX_SIZE = 1024 * 1024;
export const STATE_MAP_LENGTH: number = STATE_HEADER_LENGTH + STATE_MAX_SIZE;
