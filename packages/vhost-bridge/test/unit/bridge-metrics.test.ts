import type { Metric } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { bridgeMetrics } from '../../src/bridge-metrics.ts';
import type { BridgeStatus, DeviceStatus } from '../../src/status.ts';

const HELD = { now: 2, bounds: [1, 10], counts: [5, 0, 1], seconds: 31.5 };
const NOTHING: BridgeStatus = {
  guests: [],
  devices: [],
  totals: { counters: {}, held: HELD, devices: {} },
};

function device(key: string, more: Partial<DeviceStatus> = {}): DeviceStatus {
  const state = 'up';
  return { device: key, guest: 1, type: 'i2c', base: '0x0', irq: 1, socket: 'x', state, ...more };
}

/** `name{label=value} value` of all that is not a histogram. */
function lines(metrics: readonly Metric[]): string[] {
  return metrics.flatMap((metric) =>
    metric.type === 'histogram'
      ? []
      : metric.samples.map(({ labels = {}, value }) => {
          const all = Object.entries(labels).map(([name, text]) => `${name}=${text}`);
          return `${metric.name.replace('vhost_bridge_', '')}{${all.join(',')}} ${value}`;
        }),
  );
}

describe('bridgeMetrics', () => {
  it('tells what is there, by kinds', () => {
    const queue = { queue: 0, size: 64, started: true };
    const user = { ...queue, notificationsAssisted: false, interruptsAssisted: false };
    const kernel = { ...queue, notificationsAssisted: true, interruptsAssisted: true };
    const devices = [
      device('1/0', { backend: 'connected', queues: [user, kernel] }),
      device('1/1', { backend: 'connected', queues: [kernel] }),
      device('1/2', { backend: 'away' }),
      device('2/0', { type: 'virtio-77', state: 'failed' }),
    ];
    const guests = [{ guest: 1, vm: 'xen:1', devices: 3, counters: {} }];
    const found = lines(bridgeMetrics({ ...NOTHING, guests, devices }));
    expect(found).toContain('guests{} 1');
    expect(found.filter((line) => line.startsWith('devices'))).toEqual([
      'devices{type=i2c,state=up,backend=connected} 2',
      'devices{type=i2c,state=up,backend=away} 1',
      'devices{type=other,state=failed,backend=none} 1',
    ]);
    expect(found.filter((line) => line.startsWith('queues'))).toEqual([
      'queues{notifications=user,interrupts=user} 1',
      'queues{notifications=kernel,interrupts=kernel} 2',
    ]);
  });

  it('tells what was counted', () => {
    const counters = { requests: 9, ioeventfds: 4, kernelKicks: 3, interrupts: 2, timeouts: 1 };
    const i2c = { reconnects: 6, failures: 7, faults: { badWidth: 8 } };
    const totals = { counters, held: HELD, devices: { i2c } };
    const metrics = bridgeMetrics({ ...NOTHING, totals });
    expect(lines(metrics)).toEqual(
      expect.arrayContaining([
        'accesses_total{} 9',
        'kicks_total{by=user} 4',
        'kicks_total{by=kernel} 3',
        'interrupts_total{} 2',
        'held_accesses{} 2',
        'backend_reconnects_total{type=i2c} 6',
        'device_failures_total{type=i2c} 7',
        'access_errors_total{error=timeouts} 1',
        'access_errors_total{error=malformed} 0',
        'driver_faults_total{type=i2c,fault=badWidth} 8',
      ]),
    );
    expect(metrics.find(({ type }) => type === 'histogram')).toMatchObject({
      name: 'vhost_bridge_held_access_seconds',
      bounds: HELD.bounds,
      counts: HELD.counts,
      sum: HELD.seconds,
    });
  });

  it('is no more for ever so many guests, whatever numbers they have', () => {
    const many = Array.from({ length: 5000 }, (_, i) =>
      device(`${i}/0`, { guest: i, type: `virtio-${i}`, state: 'failed' }),
    );
    const guests = many.map(({ guest }) => ({
      guest,
      vm: `xen:${guest}`,
      devices: 1,
      counters: {},
    }));
    const all = bridgeMetrics({ ...NOTHING, guests, devices: many });
    expect(lines(all).length).toBeLessThan(20);
  });
});
