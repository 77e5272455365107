// The module that the daemon's workers load: see `createDevice`.
import { type CreateDevice, type DeviceContext, deviceModule } from '@node-vmm/vhost-user-backend';
import type { EntropySource } from './entropy-source.ts';
import { KernelSource } from './kernel-source.ts';
import type { RngLimits } from './limits.ts';
import type { RngSource } from './open-source.ts';
import { RngDevice } from './rng-device.ts';
import { ThreadSource } from './thread-source.ts';

/** Options of an entropy device: structured-cloneable. */
export interface RngDeviceOptions extends RngLimits {
  /** Default the kernel's generator; else what `openSource` made. */
  readonly source?: RngSource;
  /**
   * URL of the module of host threads, `@node-vmm/vhost-device-rng/host`: for a program that is bundled. Default:
   * the package's own.
   */
  readonly hostModule?: string;
}

function open(options: RngDeviceOptions | undefined, context: DeviceContext): EntropySource {
  const source = options?.source ?? { kind: 'kernel' };
  if (source.kind === 'kernel') return new KernelSource();
  const module = new URL(
    options?.hostModule ?? deviceModule('./source-thread.js', import.meta.url),
  );
  const key = `rng-source ${source.fd}`;
  return new ThreadSource(context.hostThread({ key, module, options: source }));
}

/**
 * Makes an entropy device in the worker that serves it. Devices on one source share the thread that
 * reads it; the kernel's generator needs none.
 *
 * @throws {SysError} when there are no descriptors left
 */
export const createDevice: CreateDevice<RngDeviceOptions | undefined> = (options, context) => {
  const source = open(options, context);
  try {
    return new RngDevice(source, context, options);
  } catch (error) {
    source[Symbol.dispose]();
    throw error;
  }
};
