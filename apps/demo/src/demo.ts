import type { Bridge, SpawnedBackends } from '@node-vmm/vhost-bridge';
import type { Program } from '@node-vmm/vhost-device-cli';
import type { Logger } from '@node-vmm/vmm-sys-util';
import type { Narrator } from './narrator.ts';

/** What both demos work with. */
export interface DemoParts {
  /** Tells for the bridge. */
  readonly narrator: Narrator;
  readonly logger: Logger;
  readonly signals: Program['signals'];
  /** The machine stays when its guest is done, until it is ended by a signal. */
  readonly stay: boolean;
  /** Lets the bridge be looked at from outside, until what is returned is closed. */
  readonly watch: (bridge: Bridge, sockets: SpawnedBackends) => Promise<Disposable>;
}
