import { type EventfdEndsData, openEventfdEnds } from './eventfd-ends.ts';
import type { GuestEnds } from './guest-ends.ts';
import { openXenEnds, type XenEndsData } from './xen-ends.ts';

/** Of what {@link GuestEnds} are made, as plain data: one for each kind of machine. */
export type GuestEndsData = EventfdEndsData | XenEndsData;

/** Makes ends on the thread that is to serve the guest. */
export type OpenGuestEnds = (data: GuestEndsData) => GuestEnds;

/** The ends of a machine of whatever kind. */
export function openGuestEnds(data: GuestEndsData): GuestEnds {
  return data.kind === 'eventfds' ? openEventfdEnds(data) : openXenEnds(data);
}
