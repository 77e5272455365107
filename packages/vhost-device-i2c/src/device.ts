// The module that the daemon's workers load: see `createDevice`.
import type { CreateDevice } from '@node-vmm/vhost-user-backend';
import type { I2cAttachment } from './address-map.ts';
import { I2cDevice } from './backend.ts';
import type { I2cHost } from './i2c-host.ts';
import { LinuxI2cHost } from './linux/linux-i2c-host.ts';
import { type BoardEntry, makeBoard } from './simulated/board.ts';

/** A bus and the addresses on it that the guest may reach. */
export type I2cHostOptions = {
  /** 7-bit addresses. */
  readonly addresses: readonly number[];
} & (
  | {
      readonly kind: 'linux';
      /** N of `/dev/i2c-N`. */
      readonly bus: number;
    }
  | { readonly kind: 'simulated'; readonly board: readonly BoardEntry[] }
);

/** Options of an I2C device: structured-cloneable. */
export interface I2cDeviceOptions {
  readonly hosts: readonly I2cHostOptions[];
}

function open(options: I2cHostOptions): I2cHost {
  return options.kind === 'linux' ? LinuxI2cHost.open(options.bus) : makeBoard(options.board);
}

/**
 * Makes an I2C device in the worker that serves it. Each device has its own descriptors of the
 * host's adapters, and its own simulated chips: two guests never see one another's.
 *
 * @throws Node's own error with `code` or {SysError} when an adapter cannot be opened
 */
export const createDevice: CreateDevice<I2cDeviceOptions> = (options, context) => {
  const attachments: I2cAttachment[] = [];
  try {
    for (const host of options.hosts) {
      attachments.push({ host: open(host), addresses: host.addresses });
    }
    return new I2cDevice(attachments, context);
  } catch (error) {
    for (const { host } of attachments) host[Symbol.dispose]();
    throw error;
  }
};
