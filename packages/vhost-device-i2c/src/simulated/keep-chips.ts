import { createHash } from 'node:crypto';
import type { DeviceContext } from '@node-vmm/vhost-user-backend';
import type { I2cHost } from '../i2c-host.ts';
import type { ChipMemory } from './i2c-chip.ts';

/** Before the bytes of each chip: its own are there. */
const MARK = 1;
const KEPT = 1;

/**
 * Lets the chips of simulated buses go on with what they kept in the device's state, where it has one.
 * It is found again by the same board: other chips, or the same ones elsewhere, begin anew.
 *
 * @returns whether there was something that they go on with
 * @throws Node's own error with `code` when the state file cannot be written
 */
export function keepChips(
  hosts: readonly I2cHost[],
  context: Pick<DeviceContext, 'state'>,
): boolean {
  const memories: ChipMemory[] = [];
  const board = createHash('sha256');
  for (const [bus, { chips }] of hosts.entries()) {
    for (const [address, { kept: memory }] of chips ?? []) {
      if (memory === undefined || memories.includes(memory)) continue;
      memories.push(memory);
      board.update(`${bus}:${address}:${memory.layout},`);
    }
  }
  if (memories.length === 0) return false;
  const size = memories.reduce((sum, memory) => sum + MARK + memory.size, 0);
  const state = context.state(`i2c-1-${board.digest('hex').slice(0, 16)}`, size);
  if (state === undefined) return false;
  let at = 0;
  for (const memory of memories) {
    const bytes = state.bytes.subarray(at + MARK, at + MARK + memory.size);
    memory.adopt(bytes, state.bytes[at] !== KEPT);
    // Only now: who is killed before begins anew the next time.
    state.bytes[at] = KEPT;
    at += MARK + memory.size;
  }
  return !state.fresh;
}
