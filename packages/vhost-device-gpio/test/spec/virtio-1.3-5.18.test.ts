import * as gpio from '@node-vmm/virtio-bindings/gpio';
import { describe, expect, it } from 'vitest';
import { GuestOfDevice } from '../support/guest.ts';
import { irqType, request } from '../support/requests.ts';

const {
  VIRTIO_GPIO_DIRECTION_IN: IN,
  VIRTIO_GPIO_DIRECTION_NONE: NONE,
  VIRTIO_GPIO_DIRECTION_OUT: OUT,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH: BOTH,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING: FALLING,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING: RISING,
  VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH: HIGH,
  VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW: LOW,
  VIRTIO_GPIO_MSG_GET_DIRECTION: GET_DIRECTION,
  VIRTIO_GPIO_MSG_GET_LINE_NAMES: GET_LINE_NAMES,
  VIRTIO_GPIO_MSG_GET_VALUE: GET_VALUE,
  VIRTIO_GPIO_MSG_SET_DIRECTION: SET_DIRECTION,
  VIRTIO_GPIO_MSG_SET_IRQ_TYPE: SET_IRQ_TYPE,
  VIRTIO_GPIO_MSG_SET_VALUE: SET_VALUE,
} = gpio;
const OK = [gpio.VIRTIO_GPIO_STATUS_OK, 0];
const ERR = [gpio.VIRTIO_GPIO_STATUS_ERR, 0];
const VALID = [gpio.VIRTIO_GPIO_IRQ_STATUS_VALID];
const INVALID = [gpio.VIRTIO_GPIO_IRQ_STATUS_INVALID];

/** A guest whose line 1 is an input with an interrupt. */
function withInterrupt(trigger: number): GuestOfDevice {
  const guest = GuestOfDevice.simulated();
  expect(guest.send(request(SET_DIRECTION, 1, IN), irqType(1, trigger))).toEqual([OK, OK]);
  return guest;
}

describe('§5.18.4 configuration', () => {
  it('has the number of lines and the size of their names', () => {
    using guest = GuestOfDevice.simulated(['MMC-CD', '', 'Red LED Vdd', '']);
    expect([...guest.device.config]).toEqual([4, 0, 0, 0, 7 + 1 + 12 + 1, 0, 0, 0]);
  });

  it('MUST say that there are no names with the size 0', () => {
    using guest = GuestOfDevice.simulated(['', '']);
    expect([...guest.device.config]).toEqual([2, 0, 0, 0, 0, 0, 0, 0]);
    expect(guest.ask(GET_LINE_NAMES)).toEqual(ERR.slice(0, 1));
  });

  it('has up to 65535 lines', () => {
    using guest = GuestOfDevice.simulated(new Array<string>(65_535).fill(''));
    expect([...guest.device.config]).toEqual([0xff, 0xff, 0, 0, 0, 0, 0, 0]);
    expect(guest.ask(GET_VALUE, 65_534)).toEqual(OK);
    expect(guest.ask(GET_VALUE, 65_535)).toEqual(ERR);
  });
});

describe('§5.18.6.1 names', () => {
  const names = ['MMC-CD', '', 'led', ''];
  const block = [...Buffer.from('MMC-CD\0\0led\0\0')];

  it('are a zero-terminated string for each line', () => {
    using guest = GuestOfDevice.simulated(names);
    expect(guest.raw(guest.requestq, [[request(GET_LINE_NAMES), 1 + block.length]])).toEqual([
      [gpio.VIRTIO_GPIO_STATUS_OK, ...block],
    ]);
  });

  it.each([
    ['short', block.length],
    ['long', block.length + 2],
  ])('are refused to a response that is too %s', (_, room) => {
    using guest = GuestOfDevice.simulated(names);
    const [answer] = guest.raw(guest.requestq, [[request(GET_LINE_NAMES), room]]);
    expect(answer?.[0]).toBe(gpio.VIRTIO_GPIO_STATUS_ERR);
    expect(answer?.slice(1).every((byte) => byte === 0)).toBe(true);
    expect(guest.device.counters).toMatchObject({ requests: 1, errors: 1, malformed: 1 });
  });
});

describe('§5.18.6.2, §5.18.6.3 direction', () => {
  it('is none at first, then what was set', () => {
    using guest = GuestOfDevice.simulated();
    expect(guest.ask(GET_DIRECTION, 2)).toEqual([0, NONE]);
    expect(guest.send(request(SET_DIRECTION, 2, IN), request(GET_DIRECTION, 2))).toEqual([
      OK,
      [0, IN],
    ]);
    expect(guest.send(request(SET_DIRECTION, 2, OUT), request(GET_DIRECTION, 2))).toEqual([
      OK,
      [0, OUT],
    ]);
    expect(guest.ask(GET_DIRECTION, 1)).toEqual([0, NONE]);
  });

  it.each([3, 0x100, 0xffff_ffff])('cannot be %d', (value) => {
    using guest = GuestOfDevice.simulated();
    expect(guest.ask(SET_DIRECTION, 0, value)).toEqual(ERR);
    expect(guest.ask(GET_DIRECTION, 0)).toEqual([0, NONE]);
  });

  it('MUST discard all state of a line with direction none', () => {
    using guest = withInterrupt(RISING);
    guest.ask(SET_VALUE, 1, 1);
    expect(guest.move(1, '1')).toEqual(['rising latched']);
    expect(guest.ask(SET_DIRECTION, 1, NONE)).toEqual(OK);
    expect(guest.tell('line', '1')).toMatchObject({
      ...{ direction: 'none', trigger: 'none', latched: false, value: 1 },
      interrupts: { delivered: 0, latched: 1, coalesced: 0, dropped: 1 },
    });
    // An output begins low again.
    expect(guest.ask(SET_DIRECTION, 1, OUT)).toEqual(OK);
    expect(guest.ask(GET_VALUE, 1)).toEqual([0, 0]);
  });

  it('returns the event buffer of a line with direction none', () => {
    using guest = withInterrupt(RISING);
    expect(guest.unmask(1)).toEqual([]);
    expect(guest.ask(SET_DIRECTION, 1, NONE)).toEqual(OK);
    expect(guest.eventq.take()).toEqual([INVALID]);
  });

  it('output ends an interrupt that the driver forgot', () => {
    using guest = withInterrupt(RISING);
    guest.unmask(1);
    expect(guest.ask(SET_DIRECTION, 1, OUT)).toEqual(OK);
    expect(guest.eventq.take()).toEqual([INVALID]);
    expect(guest.tell('line', '1')).toMatchObject({ direction: 'out', trigger: 'none' });
  });
});

describe('§5.18.6.4, §5.18.6.5 value', () => {
  it('of an input is what is outside', () => {
    using guest = GuestOfDevice.simulated();
    guest.ask(SET_DIRECTION, 0, IN);
    guest.move(0, '1');
    expect(guest.ask(GET_VALUE, 0)).toEqual([0, 1]);
    guest.move(0, '0');
    expect(guest.ask(GET_VALUE, 0)).toEqual([0, 0]);
  });

  it('that is set before the direction is what the output begins with', () => {
    using guest = GuestOfDevice.simulated();
    expect(
      guest.send(
        request(SET_VALUE, 3, 1),
        request(GET_VALUE, 3),
        request(SET_DIRECTION, 3, OUT),
        request(GET_VALUE, 3),
        request(SET_VALUE, 3, 0),
        request(GET_VALUE, 3),
      ),
    ).toEqual([OK, [0, 0], OK, [0, 1], OK, [0, 0]]);
  });

  it('is one bit', () => {
    using guest = GuestOfDevice.simulated();
    expect(guest.ask(SET_VALUE, 0, 2)).toEqual(ERR);
    expect(guest.ask(SET_VALUE, 0, 0x1_0000)).toEqual(ERR);
  });
});

describe('§5.18.6.6 interrupts, enabled and disabled', () => {
  it('are refused without VIRTIO_GPIO_F_IRQ', () => {
    using guest = GuestOfDevice.simulated(['', ''], 0n);
    expect(guest.ask(SET_IRQ_TYPE, 1, RISING)).toEqual(ERR);
    expect(guest.ask(SET_IRQ_TYPE, 1, 0)).toEqual(ERR);
    expect(guest.unmask(1)).toEqual([INVALID]);
  });

  it.each([5, 6, 7, 9, 0x10, 0x101])('are not of type %d', (value) => {
    using guest = GuestOfDevice.simulated();
    expect(guest.ask(SET_IRQ_TYPE, 1, value)).toEqual(ERR);
  });

  it('are refused to an output, which they can only be taken from', () => {
    using guest = GuestOfDevice.simulated();
    guest.ask(SET_DIRECTION, 1, OUT);
    expect(guest.ask(SET_IRQ_TYPE, 1, RISING)).toEqual(ERR);
    expect(guest.ask(SET_IRQ_TYPE, 1, 0)).toEqual(OK);
  });

  it('that the driver changes without disabling them begin anew; the same once more is nothing', () => {
    using guest = withInterrupt(RISING);
    guest.move(1, '1');
    expect(guest.ask(SET_IRQ_TYPE, 1, RISING)).toEqual(OK);
    expect(guest.tell('line', '1')).toMatchObject({ trigger: 'rising', latched: true });
    expect(guest.ask(SET_IRQ_TYPE, 1, FALLING)).toEqual(OK);
    expect(guest.tell('line', '1')).toMatchObject({ trigger: 'falling', latched: false });
  });

  it('MUST return the buffer when they are disabled, and discard what was latched', () => {
    using guest = withInterrupt(BOTH);
    expect(guest.unmask(1)).toEqual([]);
    expect(guest.ask(SET_IRQ_TYPE, 1, 0)).toEqual(OK);
    expect(guest.eventq.take()).toEqual([INVALID]);
    guest.ask(SET_IRQ_TYPE, 1, BOTH);
    expect(guest.move(1, '1')).toEqual(['rising latched']);
    guest.ask(SET_IRQ_TYPE, 1, 0);
    guest.ask(SET_IRQ_TYPE, 1, BOTH);
    expect(guest.unmask(1)).toEqual([]);
    expect(guest.tell('line', '1')).toMatchObject({ interrupts: { dropped: 1, delivered: 0 } });
  });

  it('returns the buffer to a driver that sees it before the answer', () => {
    using guest = withInterrupt(RISING);
    guest.unmask(1);
    const order: string[] = [];
    guest.eventq.onShown = () => order.push('event');
    guest.requestq.onShown = () => order.push('answer');
    guest.ask(SET_IRQ_TYPE, 1, 0);
    expect(order).toEqual(['event', 'answer']);
  });
});

describe('§5.18.7 the eventq', () => {
  it.each([
    ['rising', RISING, ['rising delivered'], ['falling none']],
    ['falling', FALLING, ['rising none'], ['falling delivered']],
  ])('tells of %s edges and no others', (_, trigger, up, down) => {
    using guest = withInterrupt(trigger);
    guest.unmask(1);
    expect(guest.move(1, '1')).toEqual(up);
    expect(guest.move(1, '0')).toEqual(down);
    expect(guest.eventq.take()).toEqual([VALID]);
  });

  it('tells of both edges, each with a buffer of its own', () => {
    using guest = withInterrupt(BOTH);
    guest.unmask(1);
    expect(guest.move(1, '1')).toEqual(['rising delivered']);
    expect(guest.eventq.take()).toEqual([VALID]);
    expect(guest.move(1, '0')).toEqual(['falling latched']);
    expect(guest.unmask(1)).toEqual([VALID]);
    expect(guest.unmask(1)).toEqual([]);
  });

  it('MUST latch an edge while masked; several are one', () => {
    using guest = withInterrupt(RISING);
    expect(guest.move(1, 'pulse')).toEqual(['rising latched', 'falling none']);
    expect(guest.move(1, 'pulse')).toEqual(['rising coalesced', 'falling none']);
    expect(guest.unmask(1)).toEqual([VALID]);
    expect(guest.unmask(1)).toEqual([]);
    expect(guest.tell('line', '1')).toMatchObject({
      ...{ masked: false, latched: false },
      interrupts: { delivered: 1, latched: 1, coalesced: 1, dropped: 0 },
    });
  });

  it('MUST NOT latch a level while masked', () => {
    using guest = withInterrupt(HIGH);
    expect(guest.move(1, 'pulse')).toEqual(['rising none', 'falling none']);
    expect(guest.unmask(1)).toEqual([]);
    expect(guest.eventq.completions).toEqual([]);
  });

  it.each([
    ['high', HIGH, '1', '0'],
    ['low', LOW, '0', '1'],
  ] as const)('tells of a %s level at each unmasking, and when it comes', (_, trigger, on, off) => {
    using guest = GuestOfDevice.simulated();
    guest.move(1, off);
    guest.send(request(SET_DIRECTION, 1, IN), irqType(1, trigger));
    expect(guest.unmask(1)).toEqual([]);
    expect(guest.move(1, on).map((edge) => edge.split(' ')[1])).toEqual(['delivered']);
    expect(guest.eventq.take()).toEqual([VALID]);
    expect(guest.unmask(1)).toEqual([VALID]);
    expect(guest.unmask(1)).toEqual([VALID]);
    guest.move(1, off);
    expect(guest.unmask(1)).toEqual([]);
    guest.move(1, on);
    expect(guest.eventq.take()).toEqual([VALID]);
  });

  it('returns a buffer for a line that is not enabled', () => {
    using guest = GuestOfDevice.simulated();
    expect(guest.unmask(1)).toEqual([INVALID]);
    expect(guest.unmask(0, 3)).toEqual([INVALID, INVALID]);
  });

  it('returns the second buffer for a line, and serves the first', () => {
    using guest = withInterrupt(RISING);
    expect(guest.unmask(1, 1)).toEqual([INVALID]);
    expect(guest.device.counters).toMatchObject({ unmasks: 2, invalid: 1, duplicates: 1 });
    guest.move(1, '1');
    expect(guest.eventq.take()).toEqual([VALID]);
  });

  it('keeps lines apart', () => {
    using guest = withInterrupt(RISING);
    guest.send(request(SET_DIRECTION, 2, IN), irqType(2, FALLING));
    guest.unmask(2, 1);
    guest.move(2, '1');
    expect(guest.eventq.completions).toEqual([]);
    guest.move(1, '1');
    guest.move(2, '0');
    expect(guest.eventq.take()).toEqual([VALID, VALID]);
  });

  it.each([
    ['no line', new Uint8Array(0), 1, INVALID],
    ['half a line', Uint8Array.of(1), 1, INVALID],
    ['more than a line', Uint8Array.of(1, 0, 0), 1, INVALID],
    ['a line that there is not', Uint8Array.of(4, 0), 1, INVALID],
    ['the highest line', Uint8Array.of(0xff, 0xff), 1, INVALID],
    ['no room for an answer', Uint8Array.of(1, 0), 0, []],
    ['room for more than the answer', Uint8Array.of(1, 0), 2, INVALID],
  ])('returns a buffer with %s', (_, readable, writable, answer) => {
    using guest = withInterrupt(RISING);
    expect(guest.raw(guest.eventq, [[readable, writable]])).toEqual([answer]);
    expect(guest.device.counters).toMatchObject({ malformed: 1, invalid: 1 });
  });

  it('returns all buffers when it is about to stop, and none after a reset', () => {
    using guest = withInterrupt(RISING);
    guest.send(request(SET_DIRECTION, 2, IN), irqType(2, RISING));
    guest.unmask(1, 2);
    let stopped = false;
    guest.device.queueStopping(guest.eventq, () => {
      stopped = true;
    });
    expect(stopped).toBe(true);
    expect(guest.eventq.shown).toBe(2);
    expect(guest.eventq.take()).toEqual([INVALID, INVALID]);
    guest.device.queueStopped(1);
    // What comes meanwhile is not lost.
    expect(guest.move(1, '1')).toEqual(['rising latched']);
    expect(guest.unmask(1, 2)).toEqual([VALID]);
    guest.device.queueStopped(1);
    guest.device.reset();
    guest.move(2, '1');
    expect(guest.eventq.take()).toEqual([]);
    expect(guest.tell('line', '2')).toMatchObject({ direction: 'none', trigger: 'none', value: 1 });
  });
});

describe('§5.18.6 requests', () => {
  it('of an unknown type are refused', () => {
    using guest = GuestOfDevice.simulated();
    expect(guest.send(request(0), request(7), request(0xffff))).toEqual([ERR, ERR, ERR]);
  });

  it.each([GET_DIRECTION, SET_DIRECTION, GET_VALUE, SET_VALUE, SET_IRQ_TYPE])(
    'of type %d are refused for a line that there is not',
    (type) => {
      using guest = GuestOfDevice.simulated();
      expect(guest.send(request(type, 4), request(type, 0xffff))).toEqual([ERR, ERR]);
    },
  );

  it.each([
    ['nothing to read', new Uint8Array(0), 2, ERR],
    ['a short request', request(GET_VALUE).subarray(1), 2, ERR],
    ['a long request', new Uint8Array(9).fill(4, 0, 1), 2, ERR],
    ['no room', request(GET_VALUE), 0, []],
    ['room for the status alone', request(GET_VALUE), 1, ERR.slice(0, 1)],
    ['room for more', request(GET_VALUE), 3, ERR],
    ['neither', new Uint8Array(0), 0, []],
  ])('with %s are refused as far as there is room', (_, readable, writable, answer) => {
    using guest = GuestOfDevice.simulated();
    expect(guest.raw(guest.requestq, [[readable, writable]])).toEqual([answer]);
    expect(guest.device.counters).toMatchObject({ requests: 1, errors: 1, malformed: 1 });
  });
});
