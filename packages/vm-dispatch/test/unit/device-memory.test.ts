import { describe, expect, it } from 'vitest';
import { DeviceMemory } from '../../src/device-memory.ts';

const shape = { queues: 40, configSize: 5, counters: 3 };

describe('DeviceMemory', () => {
  it('shows a configuration with its generation, and changes neither where it is the same', () => {
    const main = new DeviceMemory(shape);
    const thread = new DeviceMemory(shape, main.buffer);
    const target = new Uint8Array(3);
    expect(thread.readConfig(2, target)).toBe(true);
    expect(thread.generation).toBe(0);
    for (let round = 1; round <= 4; round++) {
      main.publish(Uint8Array.of(0, 1, round, 3, 4));
      main.publish(Uint8Array.of(0, 1, round, 3, 4));
      expect(thread.generation).toBe(round);
      thread.readConfig(2, target);
      expect(target).toEqual(Uint8Array.of(round, 3, 4));
    }
    expect(thread.readConfig(3, target)).toBe(false);
  });

  it('tells of a notification once until it was heard, for each queue', () => {
    const main = new DeviceMemory(shape);
    const thread = new DeviceMemory(shape, main.buffer);
    for (const queue of [0, 31, 32, 39]) {
      expect(thread.setNotified(queue)).toBe(true);
      expect(thread.setNotified(queue)).toBe(false);
      main.clearNotified(queue);
      expect(thread.setNotified(queue)).toBe(true);
    }
  });
});
