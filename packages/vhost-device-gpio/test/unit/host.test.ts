import * as gpio from '@node-vmm/virtio-bindings/gpio';
import { describe, expect, it } from 'vitest';
import { RecordingHost } from '../support/fakes.ts';
import { GuestOfDevice } from '../support/guest.ts';
import { irqType, request } from '../support/requests.ts';

const {
  VIRTIO_GPIO_DIRECTION_IN: IN,
  VIRTIO_GPIO_DIRECTION_OUT: OUT,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH: BOTH,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING: RISING,
  VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH: HIGH,
  VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW: LOW,
  VIRTIO_GPIO_MSG_GET_DIRECTION: GET_DIRECTION,
  VIRTIO_GPIO_MSG_GET_VALUE: GET_VALUE,
  VIRTIO_GPIO_MSG_SET_DIRECTION: SET_DIRECTION,
  VIRTIO_GPIO_MSG_SET_VALUE: SET_VALUE,
} = gpio;
const OK = [0, 0];
const ERR = [1, 0];
const VALID = [1];
const INVALID = [0];

function guestOf(host: RecordingHost, bytes = new Uint8Array(4)): GuestOfDevice {
  return new GuestOfDevice(() => host, bytes);
}

describe('a host that takes its time', () => {
  it('answers requests in their order, and holds up those behind', () => {
    const host = new RecordingHost();
    using guest = guestOf(host);
    host.slow = true;
    const names = request(gpio.VIRTIO_GPIO_MSG_GET_LINE_NAMES);
    expect(guest.send(request(GET_VALUE, 0), request(SET_VALUE, 1, 1), names)).toEqual([]);
    expect(guest.send(request(GET_VALUE, 2))).toEqual([]);
    expect(host.calls).toEqual(['getValue 0']);
    host.land();
    // Those that the host has nothing to do with follow at once.
    expect(guest.requestq.shown).toBe(3);
    expect(guest.requestq.take()).toEqual([OK, OK, [1]]);
    expect(host.calls).toEqual(['getValue 0', 'getValue 2']);
    host.land();
    expect(guest.requestq.take()).toEqual([OK]);
    expect(host.land()).toBe(false);
  });

  it('lets the queue stop when all requests have been answered', () => {
    const host = new RecordingHost();
    using guest = guestOf(host);
    host.slow = true;
    guest.send(request(GET_VALUE, 0), request(GET_VALUE, 1));
    let stopped = 0;
    guest.device.queueStopping(guest.requestq, () => stopped++);
    host.land();
    expect(stopped).toBe(0);
    host.land();
    expect(stopped).toBe(1);
    expect(guest.requestq.shown).toBe(2);
    guest.device.queueStopping(guest.requestq, () => stopped++);
    expect(stopped).toBe(2);
  });

  it('answers nothing after the queue has stopped, and lets go of it', () => {
    const host = new RecordingHost();
    using guest = guestOf(host);
    host.slow = true;
    guest.send(request(GET_VALUE, 0), request(GET_VALUE, 1));
    let stopped = 0;
    guest.device.queueStopping(guest.requestq, () => stopped++);
    guest.device.queueStopped(0);
    expect(stopped).toBe(1);
    host.landAll();
    expect(guest.requestq.take()).toEqual([]);
    host.slow = false;
    expect(guest.ask(GET_VALUE, 1)).toEqual(OK);
  });

  it('undoes nothing of what a reset has undone', () => {
    const host = new RecordingHost();
    host.failing.push('setDirection 1 1');
    using guest = guestOf(host);
    guest.ask(SET_DIRECTION, 1, IN);
    host.slow = true;
    guest.send(request(SET_DIRECTION, 1, OUT));
    guest.device.reset();
    host.landAll();
    expect(guest.tell('line', '1')).toMatchObject({ direction: 'none' });
    expect(host.calls.at(-1)).toBe('setDirection 1 0 0');
  });

  it('does not interrupt for a level with a buffer that went back', () => {
    const host = new RecordingHost();
    using guest = guestOf(host);
    host.lines.move(1, 1);
    guest.send(irqType(1, HIGH));
    host.slow = true;
    expect(guest.unmask(1)).toEqual([]);
    guest.send(irqType(1, 0));
    expect(guest.eventq.take()).toEqual([INVALID]);
    host.landAll();
    expect(guest.eventq.take()).toEqual([]);
  });

  it('interrupts once where a level comes while it is asked for', () => {
    const host = new RecordingHost();
    using guest = guestOf(host);
    guest.send(irqType(1, HIGH));
    host.slow = true;
    expect(guest.unmask(1)).toEqual([]);
    host.lines.move(1, 1);
    host.landAll();
    expect(guest.eventq.shown).toBe(1);
    expect(guest.eventq.take()).toEqual([VALID]);
  });

  it('touches nothing after the device has gone', () => {
    const host = new RecordingHost();
    const guest = guestOf(host);
    guest.send(irqType(1, HIGH));
    host.lines.move(1, 1);
    host.slow = true;
    guest.unmask(1);
    guest.send(request(GET_VALUE, 0));
    guest[Symbol.dispose]();
    guest[Symbol.dispose]();
    expect(host.disposed).toBe(true);
    host.landAll();
    expect([...guest.eventq.completions, ...guest.requestq.completions]).toEqual([]);
  });
});

describe('a host that fails', () => {
  it.each([
    ['direction', 'setDirection', request(SET_DIRECTION, 1, IN), { direction: 'none' }],
    ['type', 'arm', irqType(1, RISING), { trigger: 'none' }],
    ['reading', 'getValue', request(GET_VALUE, 1), {}],
    ['asking', 'getDirection', request(GET_DIRECTION, 1), {}],
  ])('is an ERR and no change: %s', (_, call, bytes, state) => {
    const host = new RecordingHost();
    host.failing.push(call);
    using guest = guestOf(host);
    expect(guest.send(bytes)).toEqual([ERR]);
    expect(guest.tell('line', '1')).toMatchObject(state);
    expect(guest.device.counters).toMatchObject({ errors: 1, malformed: 0 });
    expect(guest.device.counters.hostErrors).toBeGreaterThan(0);
  });

  it('leaves the value of an output as it was', () => {
    const host = new RecordingHost();
    using guest = guestOf(host);
    guest.ask(SET_DIRECTION, 1, OUT);
    host.failing.push('setValue');
    expect(guest.ask(SET_VALUE, 1, 1)).toEqual(ERR);
    expect(guest.ask(GET_VALUE, 1)).toEqual(OK);
    expect(guest.tell('line', '1')).toMatchObject({ value: 0 });
  });

  it('does not play ping-pong with a driver that queues what comes back', () => {
    const host = new RecordingHost();
    host.failing.push('arm 1 1');
    using guest = guestOf(host);
    expect(guest.send(irqType(1, RISING))).toEqual([ERR]);
    // Linux hears that it failed, and unmasks all the same.
    expect(guest.unmask(1)).toEqual([]);
    host.failing.pop();
    expect(guest.send(irqType(1, RISING))).toEqual([OK]);
    host.lines.move(1, 1);
    expect(guest.eventq.take()).toEqual([VALID]);
    expect(guest.unmask(1)).toEqual([]);
    expect(guest.send(irqType(1, 0))).toEqual([OK]);
    expect(guest.eventq.take()).toEqual([INVALID]);
    expect(guest.unmask(1)).toEqual([INVALID]);
  });

  it('returns such a buffer to a driver that disables the interrupt', () => {
    const host = new RecordingHost();
    host.failing.push('arm 1 1');
    using guest = guestOf(host);
    guest.send(irqType(1, RISING));
    guest.unmask(1);
    expect(guest.send(irqType(1, 0))).toEqual([OK]);
    expect(guest.eventq.take()).toEqual([INVALID]);
  });
});

describe('what the host is asked', () => {
  it.each([
    [RISING, 1],
    [2, 2],
    [BOTH, 3],
    [HIGH, 1],
    [LOW, 2],
  ])('for trigger %d is edges %d', (trigger, edges) => {
    const host = new RecordingHost();
    using guest = guestOf(host);
    guest.send(irqType(1, trigger), irqType(1, 0), irqType(1, 0));
    expect(host.calls.filter((call) => call.startsWith('arm'))).toEqual([
      `arm 1 ${edges}`,
      'arm 1 0',
    ]);
  });

  it('at a reset is to give back what the driver had, and no more', () => {
    const host = new RecordingHost();
    using guest = guestOf(host);
    guest.send(request(SET_DIRECTION, 1, OUT), irqType(2, RISING), request(SET_VALUE, 3, 1));
    host.calls.length = 0;
    guest.device.reset();
    expect(host.calls).toEqual(['setDirection 1 0 0', 'setDirection 2 0 0']);
    expect(guest.bytes.every((byte) => byte === 0)).toBe(true);
  });
});
