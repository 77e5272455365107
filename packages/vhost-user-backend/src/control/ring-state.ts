import type { VringAddr } from '@node-vmm/vhost-user';
import type { EventFd } from '@node-vmm/vmm-sys-util';
import type { RingFdKind } from '../between/worker-calls.ts';

/** What a front-end said of one ring. */
export class RingState {
  /** What the device recommends; a front-end cannot learn it, and may set any other size. */
  readonly usualSize: number;
  size: number;
  addr: VringAddr | undefined;
  /** Where to go on; undefined for a fresh ring. */
  position: number | undefined;
  enabled = false;
  /** The worker serves it. */
  running = false;
  readonly fds: Record<RingFdKind, EventFd | undefined> = {
    kick: undefined,
    call: undefined,
    err: undefined,
  };

  constructor(usualSize: number) {
    this.usualSize = usualSize;
    this.size = usualSize;
  }

  /** Closes descriptors, which the worker has let go of. */
  closeFds(kinds: readonly RingFdKind[]): void {
    for (const kind of kinds) {
      this.fds[kind]?.close();
      this.fds[kind] = undefined;
    }
  }
}
