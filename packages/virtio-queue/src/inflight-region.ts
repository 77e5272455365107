/**
 * Where a queue keeps its record of chains that were taken and not returned: the queue's region of the
 * area that vhost-user's GET_INFLIGHT_FD and SET_INFLIGHT_FD hand around. It outlives the process, so
 * that a queue made over it and the same ring goes on with exactly those chains, whatever order its
 * predecessor returned others in.
 *
 * Its bytes are shared with a peer and may be anything at any time.
 */
export interface InflightRegion {
  /** Memory of at least `inflightSize` bytes, whose first is at a multiple of 8. */
  readonly bytes: Uint8Array;
  /** Entries that the area was made for, 1..32768; the ring may have fewer, not more. */
  readonly queueSize: number;
}
