import { existsSync } from 'node:fs';
import process from 'node:process';
import type { Poller } from '@node-vmm/vmm-sys-util';
import { XenStoreError } from './errors.ts';
import { SocketTransport } from './socket-transport.ts';
import type { Transport } from './transport.ts';
import type { XenStoreOpenOptions } from './xen-store-options.ts';
import { XenbusTransport } from './xenbus-transport.ts';

/** tools/libs/store/xs.c: where xenstored listens. */
export const XENSTORED_SOCKETS: readonly string[] = [
  '/run/xenstored/socket',
  '/var/run/xenstored/socket',
];
/** Linux drivers/xen/xenbus/xenbus_dev_frontend.c: devices through which the kernel passes requests on. */
export const XENBUS_DEVICES: readonly string[] = ['/dev/xen/xenbus', '/proc/xen/xenbus'];

/**
 * Connects to xenstored: where the options say, or `XENSTORED_PATH`, or in the usual places.
 *
 * @throws {XenStoreError} NOT_RUNNING, NOT_PERMITTED; the text says where it looked
 */
export function openTransport(poller: Poller, options: XenStoreOpenOptions): Transport {
  const named = options.path ?? (options.env ?? process.env)['XENSTORED_PATH'];
  if (named !== undefined && named !== '') {
    return XENBUS_DEVICES.includes(named)
      ? XenbusTransport.open(named, poller)
      : SocketTransport.connect(named, poller);
  }
  // A socket that nobody listens on is a xenstored that died: the kernel's way to it would hang.
  const socket = XENSTORED_SOCKETS.find((path) => existsSync(path));
  if (socket !== undefined) return SocketTransport.connect(socket, poller);
  const device = XENBUS_DEVICES.find((path) => existsSync(path));
  if (device !== undefined) return XenbusTransport.open(device, poller);
  throw new XenStoreError(
    'NOT_RUNNING',
    `Cannot find xenstore: there is no ${[...XENSTORED_SOCKETS, ...XENBUS_DEVICES].join(', ')} (start xenstored, set XENSTORED_PATH to its socket, or run in a Xen domain)`,
  );
}
