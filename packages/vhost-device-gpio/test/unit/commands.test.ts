import { DeviceCommandError } from '@node-vmm/vhost-user-backend';
import * as gpio from '@node-vmm/virtio-bindings/gpio';
import { describe, expect, it } from 'vitest';
import { RecordingHost } from '../support/fakes.ts';
import { GuestOfDevice } from '../support/guest.ts';
import { irqType, request } from '../support/requests.ts';

const { VIRTIO_GPIO_DIRECTION_IN: IN, VIRTIO_GPIO_DIRECTION_OUT: OUT } = gpio;
const { VIRTIO_GPIO_MSG_SET_DIRECTION: SET_DIRECTION } = gpio;

/** Code of the refusal. */
function refusal(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (DeviceCommandError.is(error)) return error.code;
    throw error;
  }
  return undefined;
}

describe('commands', () => {
  it('move a line, and say what became of each edge', () => {
    using guest = GuestOfDevice.simulated(['', 'button']);
    expect(guest.tell('line', 'button', '1')).toEqual({
      line: 1,
      value: 1,
      edges: [{ edge: 'rising', became: 'none' }],
    });
    expect(guest.tell('line', '1', '1')).toEqual({ line: 1, value: 1, edges: [] });
    guest.send(irqType(1, 3));
    expect(guest.tell('line', '1', 'pulse')).toEqual({
      line: 1,
      value: 1,
      edges: [
        { edge: 'falling', became: 'latched' },
        { edge: 'rising', became: 'coalesced' },
      ],
    });
  });

  it('make every edge countable', () => {
    using guest = GuestOfDevice.simulated();
    guest.send(irqType(1, 3));
    const became: string[] = [];
    let interrupts = 0;
    for (let i = 0; i < 10_000; i++) {
      // A driver that is slow now and then.
      if (i % 7 !== 3) interrupts += guest.unmask(1).filter(([status]) => status === 1).length;
      became.push(
        ...guest.move(1, i % 2 === 0 ? '1' : '0').map((edge) => edge.split(' ')[1] ?? ''),
      );
      interrupts += guest.eventq.take().filter(([status]) => status === 1).length;
    }
    const count = (word: string): number => became.filter((outcome) => outcome === word).length;
    expect(became).toHaveLength(10_000);
    expect(count('none')).toBe(0);
    const { interrupts: counted, latched } = guest.tell('line', '1') as {
      interrupts: Record<string, number>;
      latched: boolean;
    };
    expect(counted).toEqual({
      delivered: interrupts,
      latched: count('latched'),
      coalesced: count('coalesced'),
      dropped: 0,
    });
    expect(interrupts).toBe(count('delivered') + count('latched') - (latched ? 1 : 0));
  });

  it('are refused for a line that the guest drives, and one of the host', () => {
    using guest = GuestOfDevice.simulated();
    guest.send(request(SET_DIRECTION, 1, OUT));
    expect(refusal(() => guest.tell('line', '1', '1'))).toBe('REFUSED');
    using real = new GuestOfDevice(() => new RecordingHost(), new Uint8Array(4));
    expect(refusal(() => real.tell('line', '1', '1'))).toBe('REFUSED');
    expect(real.tell('line', '1')).toMatchObject({ line: 1 });
  });

  it.each([
    [''],
    ['press'],
    ['line'],
    ['line', ''],
    ['line', '4'],
    ['line', '-1'],
    ['line', '1.5'],
    ['line', 'nobody'],
    ['line', '1', '2'],
    ['line', '1', '1', '1'],
    ['state', '4'],
    ['state', '0', '1'],
  ])('that make no sense are said to: %j', (...words) => {
    using guest = GuestOfDevice.simulated();
    expect(refusal(() => guest.tell(...words))).toBe('USAGE');
  });

  it('tell of many lines in parts', () => {
    using guest = GuestOfDevice.simulated(new Array<string>(2500).fill(''));
    const seen: number[] = [];
    for (let next: unknown = 0; next !== undefined; ) {
      const answer = guest.tell('state', `${next}`);
      expect(JSON.stringify(answer).length).toBeLessThan(1024 * 1024);
      seen.push(...(answer['lines'] as { line: number }[]).map(({ line }) => line));
      next = answer['next'];
    }
    expect(seen).toEqual(Array.from({ length: 2500 }, (_, line) => line));
  });
});

describe('events', () => {
  it('tell what the guest does, and of interrupts', () => {
    using guest = GuestOfDevice.simulated();
    guest.send(
      request(SET_DIRECTION, 0, OUT),
      request(gpio.VIRTIO_GPIO_MSG_SET_VALUE, 0, 1),
      request(gpio.VIRTIO_GPIO_MSG_SET_VALUE, 0, 1),
      request(SET_DIRECTION, 1, IN),
      irqType(1, 1),
    );
    guest.move(1, '1');
    guest.unmask(1);
    guest.device.reset();
    expect(guest.events).toEqual([
      { event: 'direction', line: 0, direction: 'out', value: 0 },
      { event: 'value', line: 0, value: 1 },
      { event: 'direction', line: 1, direction: 'in', value: 0 },
      { event: 'trigger', line: 1, trigger: 'rising' },
      { event: 'latched', line: 1 },
      { event: 'interrupt', line: 1, kind: 'edge' },
      { event: 'reset' },
    ]);
  });
});
