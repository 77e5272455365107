import type { GpioDirection } from './gpio-host.ts';
import type { GpioTrigger } from './line-states.ts';

// What numbers of VIRTIO 1.3 §5.18.6 are called in answers and events.

const DIRECTIONS = { 0: 'none', 1: 'out', 2: 'in' } as const;
const TRIGGERS = { 0: 'none', 1: 'rising', 2: 'falling', 3: 'both', 4: 'high', 8: 'low' } as const;

/** Name of a direction. */
export type DirectionWord = (typeof DIRECTIONS)[GpioDirection];
/** Name of a trigger. */
export type TriggerWord = (typeof TRIGGERS)[GpioTrigger];

export function directionWord(direction: GpioDirection): DirectionWord {
  return DIRECTIONS[direction];
}

export function triggerWord(trigger: GpioTrigger): TriggerWord {
  return TRIGGERS[trigger];
}
