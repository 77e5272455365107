import { expect, it } from 'vitest';
import { statusTable } from '../../src/status-table.ts';

const DEVICE = {
  device: '3/1',
  guest: 3,
  type: 'i2c',
  base: '0x2000000',
  irq: 33,
  socket: '/run/vhost/i2c.sock0',
  state: 'up',
  backend: 'connected',
  driverStatus: 15,
  features: '0x100000001',
  faults: { badWidth: 0 },
  queues: [
    {
      queue: 0,
      size: 1024,
      started: true,
      notificationsAssisted: true,
      interruptsAssisted: true,
    },
  ],
} as const;
const GUEST = { guest: 3, vm: 'xen:3', devices: 1, counters: { reads: 12, writes: 40, errors: 0 } };

it('shows guests, devices and back-ends in columns', () => {
  const backends = [{ socket: '/run/vhost/i2c.sock0', pid: 77 }];
  expect(statusTable({ guests: [GUEST], devices: [DEVICE], backends })).toBe(
    [
      '1 guest, 1 device',
      '',
      'GUEST  DEVICE  TYPE  BASE       IRQ  STATE  BACK-END              FEATURES     QUEUES',
      '3      3/1     i2c   0x2000000  33   up     /run/vhost/i2c.sock0  0x100000001  0:1024 kernel',
      '',
      'GUEST  DEVICES  COUNTERS',
      'xen:3  1        reads=12 writes=40',
      '',
      'OWN BACK-END          PID',
      '/run/vhost/i2c.sock0  77',
      '',
    ].join('\n'),
  );
});

it('shows what was counted of all machines, of those included that have gone', () => {
  const totals = {
    counters: { requests: 30, reads: 12, timeouts: 0 },
    held: { now: 1, bounds: [0.1, 1], counts: [2, 1, 0], seconds: 0.25004 },
    devices: {
      i2c: { reconnects: 2, failures: 0, faults: { badWidth: 3, badStatus: 0 } },
      rng: { reconnects: 0, failures: 0, faults: {} },
    },
  };
  expect(statusTable({ guests: [], devices: [], backends: [], totals })).toBe(
    [
      '0 guests, 0 devices',
      '',
      'TOTAL          COUNTERS',
      'guests         requests=30 reads=12',
      'held accesses  now=1 over=3 seconds=0.25',
      'i2c            reconnects=2 badWidth=3',
      '',
    ].join('\n'),
  );
});

it('says what is wrong', () => {
  const [queue] = DEVICE.queues;
  const away = { ...DEVICE, backend: 'away', queues: [{ ...queue, started: false }] } as const;
  const failed = {
    device: '4/0',
    guest: 4,
    type: undefined,
    base: '0x2000200',
    irq: undefined,
    socket: undefined,
    state: 'failed',
    reason: 'no back-end of type "x"',
  } as const;
  const text = statusTable({ guests: [], devices: [away, failed], backends: [] });
  expect(text).toContain('/run/vhost/i2c.sock0 (away)');
  expect(text).toContain('0:1024 stopped kernel');
  expect(text).toMatch(/^4 +4\/0 +- +0x2000200 +- +failed +- +- +-$/m);
  expect(text).toContain('device 4/0 of guest 4: no back-end of type "x"\n');
});

it('is nothing that a terminal obeys, whatever a guest has written', () => {
  const reason = 'unknown type "\u001b[2J\u0007\u009b31m\r\n\u001b]0;title\u0007"';
  const failed = { ...DEVICE, state: 'failed', reason } as const;
  const text = statusTable({ guests: [], devices: [failed], backends: [] });
  expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  expect(text.split('\n')).toHaveLength(6);
});
