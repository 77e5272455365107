import { describe, expect, it } from 'vitest';
import { DeviceMemory } from '../../src/device-memory.ts';

const shape = { queues: 2, configSize: 4, counters: 1 };
const filled = (value: number): Uint8Array => new Uint8Array(4).fill(value);

/** Both threads' views of one device. */
function bothSides(): { readonly main: DeviceMemory; readonly thread: DeviceMemory } {
  const main = new DeviceMemory(shape);
  return { main, thread: new DeviceMemory(shape, main.buffer) };
}

describe('A configuration that is read', () => {
  it('while another is written is the one before, with its generation', () => {
    const { main, thread } = bothSides();
    main.publish(filled(1));
    const seen: unknown[] = [];
    /** Is asked for its bytes in the middle of what publishes them. */
    class Watched extends Uint8Array {
      override subarray(begin?: number, end?: number): Uint8Array<ArrayBuffer> {
        const target = new Uint8Array(4);
        thread.readConfig(0, target);
        seen.push([thread.generation, [...target]]);
        return new Uint8Array(this).subarray(begin, end);
      }
    }
    main.publish(new Watched(4).fill(2));
    expect(seen).toEqual([[1, [1, 1, 1, 1]]]);
    const target = new Uint8Array(4);
    thread.readConfig(0, target);
    expect([thread.generation, ...target]).toEqual([2, 2, 2, 2, 2]);
  });

  it('while two others are written is one of them as a whole', () => {
    const { main, thread } = bothSides();
    main.publish(filled(1));
    const bytes = new Uint8Array(4);
    let written = 1;
    const target = new Proxy(bytes, {
      get: (of, key) => Reflect.get(of, key, of),
      set: (of, key, value) => {
        if (key === '2' && written < 3) {
          main.publish(filled(++written));
          main.publish(filled(++written));
        }
        return Reflect.set(of, key, value);
      },
    });
    expect(thread.readConfig(0, target)).toBe(true);
    expect(bytes).toEqual(filled(3));
  });
});

describe('A notification that was heard', () => {
  it('leaves those of other queues unheard', () => {
    const { main, thread } = bothSides();
    thread.setNotified(0);
    thread.setNotified(1);
    main.clearNotified(0);
    expect([thread.setNotified(0), thread.setNotified(1)]).toEqual([true, false]);
  });
});
