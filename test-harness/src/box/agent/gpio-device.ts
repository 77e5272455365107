// A device of a daemon in a guest of plain QEMU: see gpio-host.ts. Counts the edges of a line.
import { openLinuxGpioHost, type UsableChip } from '@node-vmm/vhost-device-gpio';
import type { CreateDevice } from '@node-vmm/vhost-user-backend';

/** Indices of the memory that says what the device has seen. */
export const SEEN = { EDGES: 0, ARMED: 1 } as const;
export const SEEN_LENGTH = 2;

/** Options of the device. */
export interface SeenOptions {
  readonly chip: UsableChip;
  readonly line: number;
  readonly seen: Int32Array;
}

export const createDevice: CreateDevice<SeenOptions> = ({ chip, line, seen }, context) => {
  const host = openLinuxGpioHost(chip, context);
  host.listen(() => Atomics.add(seen, SEEN.EDGES, 1));
  host.arm(line, 3, (error) => {
    if (error === undefined) Atomics.store(seen, SEEN.ARMED, 1);
  });
  return {
    features: 0n,
    queueMaxSizes: [2],
    process: () => undefined,
    [Symbol.dispose]: () => host[Symbol.dispose](),
  };
};
