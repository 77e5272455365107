import type { HoldGuest } from '@node-vmm/vhost-bridge';
import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import { asDomId, type DomainPauser, XenSysError } from '@node-vmm/xen-sys';

/**
 * Holds guests by pausing them. That is the control domain's right: elsewhere a guest may be faster than its
 * devices, and is warned of.
 */
export function guestHolder(pauser: Pick<DomainPauser, 'pause'>, logger: Logger): HoldGuest {
  return (domid) => {
    try {
      const pause = pauser.pause(asDomId(domid));
      return () => pause.release();
    } catch (error) {
      const context = { domid, reason: errorMessage(error) };
      // An entry of the xenstore may be left of a guest, or be nobody's.
      if (XenSysError.is(error, 'NO_SUCH_DOMAIN')) logger.debug(context, 'guest not held');
      else {
        logger.warn(
          context,
          'guest not held: it may look for its devices before they are there; start it by `xl create -p`, ' +
            'and unpause it when they are',
        );
      }
      return undefined;
    }
  };
}
