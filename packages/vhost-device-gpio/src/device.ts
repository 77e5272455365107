// The module that the daemon's workers load: see `createDevice`.
import type { CreateDevice, DeviceContext } from '@node-vmm/vhost-user-backend';
import { GpioDevice } from './backend.ts';
import type { GpioHost } from './gpio-host.ts';
import { GPIO_STATE_LAYOUT, LineStates } from './line-states.ts';
import { openLinuxGpioHost } from './linux-gpio.ts';
import { SimulatedGpioHost } from './simulated/simulated-gpio-host.ts';

/** Where a device's lines are. */
export type GpioHostOptions =
  | {
      readonly kind: 'simulated';
      /** How many, 1..65535. */
      readonly lines: number;
      /** Of the first lines, '' for lines without. */
      readonly names: readonly string[];
    }
  | {
      readonly kind: 'linux';
      /** N of `/dev/gpiochipN`. */
      readonly number: number;
      /** The chip's, which is to have the same number still. */
      readonly label: string;
      /** Of all lines, '' for lines without. */
      readonly names: readonly string[];
    };

/** Options of a GPIO device: structured-cloneable. */
export interface GpioDeviceOptions {
  readonly host: GpioHostOptions;
  /**
   * URL of the module of host threads, `@node-vmm/vhost-device-gpio/host`: for a program that is bundled. Default:
   * the package's own.
   */
  readonly hostModule?: string;
}

function open(
  { host: options, hostModule }: GpioDeviceOptions,
  states: LineStates,
  context: DeviceContext,
): GpioHost {
  if (options.kind === 'linux') return openLinuxGpioHost(options, context, { hostModule });
  const { lines, names } = options;
  const all = Array.from({ length: lines }, (_, line) => names[line] ?? '');
  return new SimulatedGpioHost(all, states);
}

/** Makes a GPIO device in the worker that serves it, with its lines as they were before, if they are kept. */
export const createDevice: CreateDevice<GpioDeviceOptions> = (deviceOptions, context) => {
  const { host: options } = deviceOptions;
  const lines = options.kind === 'linux' ? options.names.length : options.lines;
  const kept = context.state(GPIO_STATE_LAYOUT, lines);
  const states = new LineStates(kept?.bytes ?? new Uint8Array(lines));
  const host = open(deviceOptions, states, context);
  try {
    return new GpioDevice({ host, states, losesState: kept === undefined }, context);
  } catch (error) {
    host[Symbol.dispose]();
    throw error;
  }
};
