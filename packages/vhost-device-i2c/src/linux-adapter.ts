// The module that an adapter's thread loads: see `createHost`.
import type { CreateHost } from '@node-vmm/vhost-user-backend';
import { LinuxI2cHost } from './linux/linux-i2c-host.ts';
import { serveI2cHost } from './thread/serve-i2c-host.ts';

/** Options of the thread of a Linux adapter. */
export interface LinuxAdapterOptions {
  /** N of `/dev/i2c-N`. */
  readonly bus: number;
}

/**
 * Opens the adapter, in the thread that all devices on it share.
 *
 * @throws Node's own error with `code` or {SysError} when the adapter cannot be opened
 */
export const createHost: CreateHost<LinuxAdapterOptions> = ({ bus }) =>
  serveI2cHost(LinuxI2cHost.open(bus));
