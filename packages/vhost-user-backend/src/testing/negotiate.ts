import { featureMask, protocolFeatureMask, VHOST_F_LOG_ALL } from '@node-vmm/vhost-user';
import type { FrontEnd } from './front-end.ts';
import type { Guest } from './guest.ts';

/**
 * What a front-end accepts; default: all that the device offers, but no log of dirty pages, and no area for
 * requests in flight, which a device may leave unfinished where a front-end keeps it.
 */
export interface Acceptance {
  readonly features?: bigint;
  readonly protocolFeatures?: bigint;
}

/** Negotiates what rings need: features, REPLY_ACK and the others, memory. */
export async function negotiate(
  frontEnd: FrontEnd,
  guest: Pick<Guest, 'regions' | 'fds'>,
  accepted: Acceptance = {},
): Promise<Required<Acceptance>> {
  frontEnd.send('VHOST_USER_SET_OWNER', undefined);
  const offered = await frontEnd.ask('VHOST_USER_GET_FEATURES', undefined);
  const protocol = await frontEnd.ask('VHOST_USER_GET_PROTOCOL_FEATURES', undefined);
  const {
    features = offered & ~featureMask(VHOST_F_LOG_ALL),
    protocolFeatures = protocol & ~protocolFeatureMask('VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD'),
  } = accepted;
  frontEnd.send('VHOST_USER_SET_PROTOCOL_FEATURES', protocolFeatures);
  frontEnd.send('VHOST_USER_SET_FEATURES', features);
  frontEnd.send('VHOST_USER_SET_MEM_TABLE', guest.regions, guest.fds);
  return { features, protocolFeatures };
}
