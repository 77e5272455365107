import { stripVTControlCharacters } from 'node:util';
import type { BackendStatus } from './spawned-backends.ts';
import type { BridgeStatus, BridgeTotals, DeviceStatus } from './status.ts';

/** What is shown of a bridge's answer to `status`. */
export interface BridgeAnswer extends Omit<BridgeStatus, 'totals'> {
  /** Absent in the answer of an older bridge. */
  readonly totals?: BridgeTotals;
  readonly backends: readonly BackendStatus[];
}

const GAP = '  ';
const CONTROL = /\p{Cc}/gu;

/**
 * Tables for people: guests, devices with their queues, and what was counted, if anything was, of each guest and of
 * all that there have been.
 */
export function statusTable({ guests, devices, backends, totals }: BridgeAnswer): string {
  const lines = [`${count(guests, 'guest')}, ${count(devices, 'device')}`];
  if (devices.length > 0) {
    const head = [
      'GUEST',
      'DEVICE',
      'TYPE',
      'BASE',
      'IRQ',
      'STATE',
      'BACK-END',
      'FEATURES',
      'QUEUES',
    ];
    lines.push('', ...table([head, ...devices.map(deviceRow)]));
  }
  for (const { device, guest, reason } of devices) {
    if (reason !== undefined) lines.push(`device ${device} of guest ${guest}: ${reason}`);
  }
  if (guests.length > 0) {
    const rows = guests.map(({ vm, devices: served, counters }) => [
      vm,
      `${served}`,
      counted(counters),
    ]);
    lines.push('', ...table([['GUEST', 'DEVICES', 'COUNTERS'], ...rows]));
  }
  const sums = totals === undefined ? [] : totalRows(totals);
  if (sums.length > 0) lines.push('', ...table([['TOTAL', 'COUNTERS'], ...sums]));
  if (backends.length > 0) {
    const rows = backends.map(({ socket, pid }) => [socket, `${pid ?? 'starting'}`]);
    lines.push('', ...table([['OWN BACK-END', 'PID'], ...rows]));
  }
  // Names and reasons come from elsewhere: a terminal must not obey them.
  return `${lines.map((line) => stripVTControlCharacters(line).replace(CONTROL, '?').trimEnd()).join('\n')}\n`;
}

function deviceRow(status: DeviceStatus): string[] {
  const { device, guest, type, base, irq, state, socket, features, backend, queues = [] } = status;
  const wires = queues.map(
    ({ queue, size, started, notificationsAssisted, interruptsAssisted }) =>
      `${queue}:${size}${started ? '' : ' stopped'}${notificationsAssisted && interruptsAssisted ? ' kernel' : ''}`,
  );
  const where = socket ?? '-';
  return [
    `${guest}`,
    device,
    type ?? '-',
    base,
    `${irq ?? '-'}`,
    state,
    backend === 'away' ? `${where} (away)` : where,
    features ?? '-',
    wires.join(', ') || '-',
  ];
}

/** What was counted of all guests, and of all devices of a type, since the bridge was made. */
function totalRows({ counters, held, devices }: BridgeTotals): string[][] {
  const { now, counts, seconds } = held;
  const waited = counts.reduce((sum, count) => sum + count, 0);
  const rows = [
    ['guests', counted(counters)],
    ['held accesses', counted({ now, over: waited, seconds: Number(seconds.toFixed(3)) })],
    ...Object.entries(devices).map(([type, { reconnects, failures, faults }]) => [
      type,
      counted({ reconnects, failures, ...faults }),
    ]),
  ];
  return rows.filter(([, values]) => values !== '-');
}

/** What is not zero; `reads=12 writes=40`. */
function counted(counters: object): string {
  const found = Object.entries(counters).filter(([, value]) => value !== 0);
  return found.map(([name, value]) => `${name}=${value}`).join(' ') || '-';
}

function count(list: readonly unknown[], what: string): string {
  return `${list.length} ${what}${list.length === 1 ? '' : 's'}`;
}

/** Columns as wide as their widest cell. */
function table(rows: readonly (readonly string[])[]): string[] {
  const [head = []] = rows;
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(GAP));
}
