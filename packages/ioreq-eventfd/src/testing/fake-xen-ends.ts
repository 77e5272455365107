import { FakeThreadDevice } from '@node-vmm/xen-sys/testing';
import type { GuestEnds } from '../guest-ends.ts';
import { type GuestEndsData, openGuestEnds } from '../open-ends.ts';
import { openXenEnds } from '../xen-ends.ts';

/** As `openGuestEnds`, where what Xen's drivers are is a `FakeXen` of another thread, made with `threads`. */
export function openFakeXenEnds(data: GuestEndsData): GuestEnds {
  if (data.kind !== 'xen') return openGuestEnds(data);
  return openXenEnds(data, (fd) => new FakeThreadDevice(fd));
}
