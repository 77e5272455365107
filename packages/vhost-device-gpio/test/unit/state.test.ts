import * as gpio from '@node-vmm/virtio-bindings/gpio';
import { silentLogger } from '@node-vmm/vmm-sys-util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GpioDevice } from '../../src/backend.ts';
import { isDirection, isEdgeTrigger, isTrigger, LineStates } from '../../src/line-states.ts';
import { SimulatedGpioHost } from '../../src/simulated/simulated-gpio-host.ts';
import { RecordingHost } from '../support/fakes.ts';
import { GuestOfDevice } from '../support/guest.ts';
import { irqType, request } from '../support/requests.ts';

const {
  VIRTIO_GPIO_DIRECTION_IN: IN,
  VIRTIO_GPIO_DIRECTION_OUT: OUT,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING: RISING,
  VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH: HIGH,
  VIRTIO_GPIO_MSG_GET_VALUE: GET_VALUE,
  VIRTIO_GPIO_MSG_SET_DIRECTION: SET_DIRECTION,
  VIRTIO_GPIO_MSG_SET_VALUE: SET_VALUE,
} = gpio;
const OK = [0, 0];
const VALID = [1];

function simulated(bytes: Uint8Array): GuestOfDevice {
  const names = new Array<string>(bytes.length).fill('');
  return new GuestOfDevice((states) => new SimulatedGpioHost(names, states), bytes);
}

describe('the states of lines', () => {
  it('are as after power-on where all bytes are zero', () => {
    const states = new LineStates(new Uint8Array(2));
    expect([states.direction(1), states.value(1), states.trigger(1), states.level(1)]).toEqual([
      0, 0, 0, 0,
    ]);
    expect(states.latched(1)).toBe(false);
    expect(states.idle(1)).toBe(true);
  });

  it('are possible ones, whatever the file held', () => {
    for (let byte = 0; byte < 256; byte++) {
      const states = new LineStates(Uint8Array.of(byte));
      const [direction, trigger] = [states.direction(0), states.trigger(0)];
      expect(isDirection(direction) && isTrigger(trigger)).toBe(true);
      expect(direction === OUT && trigger !== 0).toBe(false);
      if (states.latched(0)) expect(isEdgeTrigger(trigger)).toBe(true);
      expect(states.level(0)).toBe(byte >>> 7);
    }
  });

  it('keep each field apart from the others', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<0 | 2>(0, 2),
        fc.constantFrom<0 | 1>(0, 1),
        fc.constantFrom<1 | 2 | 3>(1, 2, 3),
        fc.constantFrom<0 | 1>(0, 1),
        fc.boolean(),
        (direction, value, trigger, level, latched) => {
          const bytes = new Uint8Array(1);
          const states = new LineStates(bytes);
          states.setTrigger(0, trigger);
          states.setValue(0, value);
          states.setDirection(0, direction);
          states.setLatchedAt(0, level);
          if (!latched) states.unlatch(0);
          const again = new LineStates(Uint8Array.from(bytes));
          expect([again.direction(0), again.value(0), again.trigger(0), again.level(0)]).toEqual([
            ...[direction, value, trigger, level],
          ]);
          expect(again.latched(0)).toBe(latched);
          again.clear(0);
          expect([again.idle(0), again.latched(0), again.level(0)]).toEqual([true, false, level]);
        },
      ),
    );
  });
});

describe('a device that is made again', () => {
  it('has its lines as they were, and the host, too', () => {
    const bytes = new Uint8Array(4);
    {
      using guest = simulated(bytes);
      guest.send(request(SET_VALUE, 0, 1), request(SET_DIRECTION, 0, OUT));
      guest.send(request(SET_DIRECTION, 1, IN), irqType(1, RISING), irqType(2, HIGH));
      guest.move(1, 'pulse');
      guest.move(3, '1');
    }
    const host = new RecordingHost();
    using guest = new GuestOfDevice(() => host, bytes);
    expect(host.calls).toEqual([
      ...['setDirection 0 1 1', 'setDirection 1 2 0', 'arm 1 1', 'getValue 1'],
      ...['arm 2 1', 'getValue 2'],
    ]);
    expect(guest.tell('state')['lines']).toMatchObject([
      { direction: 'out', value: 1, trigger: 'none' },
      { direction: 'in', value: 0, trigger: 'rising', latched: true },
      { direction: 'none', trigger: 'high', latched: false },
      { direction: 'none', value: 1 },
    ]);
    // The buffers that were not returned come again.
    expect(guest.unmask(1, 2)).toEqual([VALID]);
  });

  it('interrupts for an edge that came in between, where the level shows it', () => {
    const bytes = new Uint8Array(4);
    {
      using guest = simulated(bytes);
      guest.send(irqType(1, RISING), irqType(2, RISING));
    }
    const host = new RecordingHost();
    host.lines.move(1, 1);
    using guest = new GuestOfDevice(() => host, bytes);
    expect(guest.unmask(1, 2)).toEqual([VALID]);
  });

  it('keeps them for its driver, whoever came and went before', () => {
    const bytes = new Uint8Array(2);
    new LineStates(bytes).setDirection(1, OUT);
    const host = new RecordingHost();
    using device = new GpioDevice(
      { host, states: new LineStates(bytes), losesState: false },
      { logger: silentLogger, emit: () => undefined },
    );
    device.reset();
    expect(device.report(1).direction).toBe('out');
    device.negotiated(1n);
    device.reset();
    expect(device.report(1).direction).toBe('none');
  });

  it('is made even where the host does not give a line any more', () => {
    const host = new RecordingHost();
    host.failing.push('setDirection 0', 'arm 1');
    const bytes = new Uint8Array(4);
    const states = new LineStates(bytes);
    states.setDirection(0, OUT);
    states.setTrigger(1, RISING);
    using guest = new GuestOfDevice(() => host, bytes);
    expect(guest.device.counters.hostErrors).toBe(2);
    expect(guest.ask(GET_VALUE, 0)).toEqual(OK);
  });
});

describe('a process that is killed', () => {
  it('before the host is told leaves a state that says so', () => {
    const host = new RecordingHost();
    host.slow = true;
    const bytes = new Uint8Array(4);
    using guest = new GuestOfDevice(() => host, bytes);
    guest.send(request(SET_VALUE, 0, 1), request(SET_DIRECTION, 0, OUT));
    expect(host.calls).toEqual(['setDirection 0 1 1']);
    const kept = new LineStates(Uint8Array.from(bytes));
    expect([kept.direction(0), kept.value(0)]).toEqual([OUT, 1]);
    host.landAll();
    guest.send(request(SET_VALUE, 0, 0));
    expect(new LineStates(Uint8Array.from(bytes)).value(0)).toBe(0);
  });

  it('while it tells of an edge has told it, or tells it when it is back', () => {
    for (const unmasked of [true, false]) {
      const bytes = new Uint8Array(2);
      using guest = simulated(bytes);
      guest.send(irqType(1, RISING));
      if (unmasked) guest.unmask(1);
      // What would be on disk when the driver can see the interrupt, and not a moment later.
      let kept: Uint8Array | undefined;
      guest.eventq.onShown = () => {
        kept ??= Uint8Array.from(bytes);
      };
      guest.move(1, '1');
      if (!unmasked) expect(guest.unmask(1)).toEqual([VALID]);
      expect(kept).toBeDefined();
      using next = simulated(kept ?? new Uint8Array(2));
      expect(next.tell('line', '1')).toMatchObject({ latched: true, value: 1 });
      expect(next.unmask(1)).toEqual([VALID]);
      expect(guest.tell('line', '1')).toMatchObject({ latched: false });
    }
  });

  it('does requests that come again without effect on what was latched meanwhile', () => {
    const bytes = new Uint8Array(2);
    const requests = [
      request(SET_VALUE, 0, 1),
      request(SET_DIRECTION, 0, OUT),
      request(SET_DIRECTION, 1, IN),
      irqType(1, RISING),
    ];
    {
      using guest = simulated(bytes);
      guest.send(...requests);
      guest.move(1, '1');
    }
    using guest = simulated(bytes);
    expect(guest.send(...requests)).toEqual([OK, OK, OK, OK]);
    expect(guest.tell('state')['lines']).toMatchObject([
      { direction: 'out', value: 1 },
      { direction: 'in', value: 1, trigger: 'rising', latched: true },
    ]);
  });
});
