// The module that the daemon's workers load: see `createDevice`.
import { type CreateDevice, type DeviceContext, deviceModule } from '@node-vmm/vhost-user-backend';
import { hex } from '@node-vmm/vmm-sys-util';
import type { I2cAttachment } from './address-map.ts';
import { I2cDevice, type I2cDeviceRules } from './backend.ts';
import type { I2cHost } from './i2c-host.ts';
import type { LinuxAdapterOptions } from './linux-adapter.ts';
import { type BoardEntry, makeBoard } from './simulated/board.ts';
import { keepChips } from './simulated/keep-chips.ts';
import { ThreadI2cHost } from './thread/thread-i2c-host.ts';

/** A bus and the addresses on it that the guest may reach. */
export type I2cHostOptions = {
  /** See `isI2cAddress`. */
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
export interface I2cDeviceOptions extends I2cDeviceRules {
  readonly hosts: readonly I2cHostOptions[];
  /**
   * URL of the module of host threads, `@node-vmm/vhost-device-i2c/host`: for a program that is bundled. Default:
   * the package's own.
   */
  readonly hostModule?: string;
}

function open(
  options: I2cHostOptions,
  context: DeviceContext,
  hostModule: string | undefined,
): I2cHost {
  if (options.kind === 'simulated') return makeBoard(options.board, context.poller);
  const { bus } = options;
  const module = new URL(hostModule ?? deviceModule('./linux-adapter.js', import.meta.url));
  const adapter: LinuxAdapterOptions = { bus };
  const thread = context.hostThread({ key: `/dev/i2c-${bus}`, module, options: adapter });
  return new ThreadI2cHost(`i2c-${bus}`, thread);
}

/** Simulated chips that know nothing of what was written to their predecessors: `24c02@0x50`. */
function chipsAnew(
  options: readonly I2cHostOptions[],
  hosts: readonly I2cHost[],
  kept: boolean,
): string[] {
  return options.flatMap((host, bus) => {
    if (host.kind !== 'simulated') return [];
    const chips = hosts[bus]?.chips;
    return host.board
      .filter(({ address }) => !kept || chips?.get(address)?.kept === undefined)
      .map(({ chip, address }) => `${chip}@${hex(address)}`);
  });
}

/**
 * Makes an I2C device in the worker that serves it. Devices on one adapter of the host share a thread,
 * which opens it; when that fails, so does the making of the device. Each device has its own simulated
 * chips: two guests never see one another's. What they keep is in the device's state, where it has one.
 *
 * @throws {SysError} when there are no descriptors left
 * @throws Node's own error with `code` when the state file cannot be written
 */
export const createDevice: CreateDevice<I2cDeviceOptions> = (options, context) => {
  const attachments: I2cAttachment[] = [];
  try {
    for (const host of options.hosts) {
      attachments.push({
        host: open(host, context, options.hostModule),
        addresses: host.addresses,
      });
    }
    const hosts = attachments.map(({ host }) => host);
    const kept = keepChips(hosts, context);
    return new I2cDevice(attachments, context, options, chipsAnew(options.hosts, hosts, kept));
  } catch (error) {
    for (const { host } of attachments) host[Symbol.dispose]();
    throw error;
  }
};
