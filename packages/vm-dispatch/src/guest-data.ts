import type { HostedGuest } from '@node-vmm/ioreq-eventfd';
import type { GuestData } from './protocol.ts';

/** What a thread is told of a guest. @param resumed - another had it and has died */
export function guestData(guest: HostedGuest, resumed: boolean): GuestData {
  const { name, page, vcpus, ends, spaces, answerLimit, invalidate } = guest;
  return {
    name,
    page: { address: page.pointer, length: page.length },
    vcpus,
    ends,
    spaces,
    answerLimit,
    resumed,
    invalidates: invalidate !== undefined,
  };
}
