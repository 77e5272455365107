// The module that the daemon's workers load: see `createDevice`.
import type { CreateDevice, DeviceContext } from '@node-vmm/vhost-user-backend';
import { GpioDevice } from './backend.ts';
import type { GpioHost } from './gpio-host.ts';
import { GPIO_STATE_LAYOUT, LineStates } from './line-states.ts';
import { SimulatedGpioHost } from './simulated/simulated-gpio-host.ts';

/** Where a device's lines are. */
export interface GpioHostOptions {
  readonly kind: 'simulated';
  /** Of the lines, '' for lines without; as many as there are lines, 1..65535. */
  readonly names: readonly string[];
}

/** Options of a GPIO device: structured-cloneable. */
export interface GpioDeviceOptions {
  readonly host: GpioHostOptions;
}

function open({ names }: GpioHostOptions, states: LineStates, _context: DeviceContext): GpioHost {
  return new SimulatedGpioHost(names, states);
}

/** Makes a GPIO device in the worker that serves it, with its lines as they were before, if they are kept. */
export const createDevice: CreateDevice<GpioDeviceOptions> = ({ host: options }, context) => {
  const lines = options.names.length;
  const kept = context.state(GPIO_STATE_LAYOUT, lines);
  const states = new LineStates(kept?.bytes ?? new Uint8Array(lines));
  const host = open(options, states, context);
  try {
    return new GpioDevice({ host, states, losesState: kept === undefined }, context);
  } catch (error) {
    host[Symbol.dispose]();
    throw error;
  }
};
