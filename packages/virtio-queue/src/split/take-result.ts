/** The chain is valid and its buffers are borrowed. */
export const TAKEN = 0;
/** The chain breaks a rule. */
export const MALFORMED = 1;
/** The chain may be valid, but the segment table is full of the chains in front of it. */
export const NO_ROOM = 2;
/** The chain may be valid, but memory that it is in is not mapped yet. */
export const NOT_YET = 3;
export type TakeResult = typeof TAKEN | typeof MALFORMED | typeof NO_ROOM | typeof NOT_YET;
