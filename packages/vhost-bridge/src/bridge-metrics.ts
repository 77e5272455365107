import type { Metric, MetricSample } from '@node-vmm/vmm-sys-util';
import { ACCESS_ERRORS } from './guest-counters.ts';
import type { BridgeStatus, DeviceTotals, QueueStatus } from './status.ts';
import { deviceByName } from './supported-devices.ts';

/** Ours: begins the names of all. */
const PREFIX = 'vhost_bridge_';

/**
 * A bridge's status for Prometheus. Labels are kinds of devices, states and counters, of which there are
 * few; guests have none, as one that is started again has another number each time.
 */
export function bridgeMetrics({ guests, devices, totals }: BridgeStatus): Metric[] {
  const { counters, held } = totals;
  const types = Object.entries(totals.devices);
  const queues = devices.flatMap((device) => device.queues ?? []);
  const ofTypes = (value: (totals: DeviceTotals) => number): MetricSample[] =>
    types.map(([type, one]) => ({ labels: { type }, value: value(one) }));
  return [
    gauge('guests', 'Guests attached to', [{ value: guests.length }]),
    gauge(
      'devices',
      'Devices by type, state and whether a back-end is connected',
      tally(devices, ({ type, state, backend = 'none' }) => ({
        type: typeName(type),
        state,
        backend,
      })),
    ),
    gauge(
      'queues',
      'Queues that drivers have set up, by who passes notifications and interrupts on',
      tally(queues, wires),
    ),
    counter('accesses', "Guests' register accesses that this process was asked to serve", [
      { value: counters.requests ?? 0 },
    ]),
    counter('kicks', 'Notifications of queues; of those by the kernel several may be seen as one', [
      { labels: { by: 'user' }, value: counters.ioeventfds ?? 0 },
      { labels: { by: 'kernel' }, value: counters.kernelKicks ?? 0 },
    ]),
    counter('interrupts', 'Interrupts raised by this process; those by the kernel are not seen', [
      { value: counters.interrupts ?? 0 },
    ]),
    gauge('held_accesses', 'Accesses that wait for their answer now', [{ value: held.now }]),
    {
      name: `${PREFIX}held_access_seconds`,
      help: 'How long accesses waited for their answer, of those that had to',
      type: 'histogram',
      bounds: held.bounds,
      counts: held.counts,
      sum: held.seconds,
    },
    counter(
      'backend_reconnects',
      'Back-ends that came in the place of another one',
      ofTypes(({ reconnects }) => reconnects),
    ),
    counter(
      'device_failures',
      'Devices that failed to come up',
      ofTypes(({ failures }) => failures),
    ),
    counter(
      'access_errors',
      'Accesses that went wrong, by kind; each was answered',
      ACCESS_ERRORS.map((error) => ({ labels: { error }, value: counters[error] ?? 0 })),
    ),
    counter(
      'driver_faults',
      'What drivers did that the specification forbids, by kind',
      types.flatMap(([type, { faults }]) =>
        Object.entries(faults).map(([fault, value]) => ({ labels: { type, fault }, value })),
      ),
    ),
  ];
}

function gauge(name: string, help: string, samples: readonly MetricSample[]): Metric {
  return { name: PREFIX + name, help, type: 'gauge', samples };
}

function counter(name: string, help: string, samples: readonly MetricSample[]): Metric {
  return { name: `${PREFIX}${name}_total`, help, type: 'counter', samples };
}

/** Types without a name have numbers, of which there are many. */
function typeName(type: string | undefined): string {
  return type !== undefined && deviceByName(type) !== undefined ? type : 'other';
}

function wires({ notificationsAssisted, interruptsAssisted }: QueueStatus): Record<string, string> {
  const by = (assisted: boolean): string => (assisted ? 'kernel' : 'user');
  return { notifications: by(notificationsAssisted), interrupts: by(interruptsAssisted) };
}

/** How many there are of each kind. */
function tally<T>(
  all: readonly T[],
  labelsOf: (one: T) => Readonly<Record<string, string>>,
): MetricSample[] {
  const found = new Map<string, { labels: Readonly<Record<string, string>>; value: number }>();
  for (const one of all) {
    const labels = labelsOf(one);
    const key = Object.values(labels).join(' ');
    const sample = found.get(key);
    if (sample === undefined) found.set(key, { labels, value: 1 });
    else sample.value++;
  }
  return [...found.values()];
}
