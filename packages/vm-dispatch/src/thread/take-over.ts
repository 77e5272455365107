import type { GuestEnds } from '@node-vmm/ioreq-eventfd/ends';
import { type IoreqPage, STATE_IORESP_READY } from '@node-vmm/ioreq-eventfd/page';

/**
 * After a thread that had the guest has died: what that had taken is taken anew, and whom it had answered is told,
 * once more where it had told them.
 */
export function takeOver(page: IoreqPage, ends: GuestEnds): void {
  for (let vcpu = 0; vcpu < page.vcpus; vcpu++) {
    if (page.state(vcpu) === STATE_IORESP_READY) ends.notify(vcpu);
    else page.putBack(vcpu);
  }
}
