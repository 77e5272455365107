import * as defs from '@node-vmm/virtio-bindings';
import { Completion, type Held } from '@node-vmm/vm-device';
import type { DeviceSession } from './device-session.ts';
import type { FaultLog } from './faults.ts';
import type { InterruptStatus } from './interrupt-status.ts';
import type { AddressRegister, QueueRegisters } from './queue-registers.ts';

/** What registers act on. */
export interface RegisterContext {
  readonly session: DeviceSession;
  readonly interrupts: InterruptStatus;
  readonly faults: FaultLog;
  readonly deviceId: number;
  readonly vendorId: number;
  queueSel: number;
  shmSel: number;
  configGeneration(): number;
  /** InterruptStatus as the driver sees it now. */
  interruptStatus(): number;
  acknowledge(events: number): void;
  notify(value: number): void;
}

/** One row of the register table. Without `read` it is write-only, without `write` read-only. */
export interface Register {
  readonly offset: number;
  /** Bytes. */
  readonly width: 4;
  readonly name: string;
  readonly read?: (context: RegisterContext) => number;
  /** @returns what the answer must wait for */
  readonly write?: (context: RegisterContext, value: number) => Held | undefined;
}

type Read = NonNullable<Register['read']>;
type Apply = (context: RegisterContext, value: number) => unknown;

const ro = (offset: number, name: string, read: Read): Register => ({
  offset,
  width: 4,
  name,
  read,
});
const wo = (offset: number, name: string, apply: Apply): Register => ({
  offset,
  width: 4,
  name,
  write: (context, value) => {
    const result = apply(context, value);
    return result instanceof Completion ? result : undefined;
  },
});
const rw = (offset: number, name: string, read: Read, apply: Apply): Register => ({
  ...wo(offset, name, apply),
  read,
});

const selected = (c: RegisterContext): QueueRegisters | undefined => c.session.queues[c.queueSel];

// Registers of a queue that does not exist read zero; the driver must not change one that is in use.
function changeQueue(name: string, change: (queue: QueueRegisters, value: number) => void): Apply {
  return (c, value) => {
    const queue = selected(c);
    if (queue === undefined) c.faults.report('badQueue', `${name} of no queue`);
    else if (queue.ready) c.faults.report('badQueue', `${name} of a ready queue`);
    else change(queue, value);
  };
}

function address(
  offset: number,
  name: string,
  pick: (queue: QueueRegisters) => AddressRegister,
): Register[] {
  const low = changeQueue(`${name}_LOW`, (queue, value) => {
    pick(queue).low = value;
  });
  const high = changeQueue(`${name}_HIGH`, (queue, value) => {
    pick(queue).high = value;
  });
  return [wo(offset, `${name}_LOW`, low), wo(offset + 4, `${name}_HIGH`, high)];
}

function writeQueueReady(c: RegisterContext, value: number): Held | undefined {
  const queue = selected(c);
  if (queue === undefined || value > 1) {
    c.faults.report('badQueue', 'VIRTIO_MMIO_QUEUE_READY', { queue: c.queueSel, value });
    return undefined;
  }
  if (value === 0) return c.session.disableQueue(queue, false);
  c.session.enableQueue(queue);
  return undefined;
}

function writeQueueReset(c: RegisterContext, value: number): Held | undefined {
  const queue = selected(c);
  const negotiated =
    c.session.featuresOk && defs.hasFeature(c.session.features.driver, defs.VIRTIO_F_RING_RESET);
  if (queue === undefined || value !== 1 || !negotiated) {
    c.faults.report('badQueue', 'VIRTIO_MMIO_QUEUE_RESET', { queue: c.queueSel, value });
    return undefined;
  }
  return c.session.disableQueue(queue, true);
}

function writeDriverFeatures(c: RegisterContext, value: number): void {
  if (c.session.featuresOk) c.faults.report('badFeatures', 'written after FEATURES_OK', { value });
  else c.session.features.writeDriverWord(value);
}

function writeStatus(c: RegisterContext, value: number): Held | undefined {
  if (value === 0) return c.session.reset();
  c.session.setStatus(value);
  return undefined;
}

// §4.2.2: length and base of a shared memory region that does not exist; devices have none so far.
const noRegion: Read = () => 0xffff_ffff;

/** The control registers of virtio-mmio version 2 (VIRTIO 1.3 §4.2.2), by offset. */
export const REGISTERS: readonly Register[] = [
  ro(defs.VIRTIO_MMIO_MAGIC_VALUE, 'VIRTIO_MMIO_MAGIC_VALUE', () => defs.VIRTIO_MMIO_MAGIC),
  ro(defs.VIRTIO_MMIO_VERSION, 'VIRTIO_MMIO_VERSION', () => defs.VIRTIO_MMIO_VERSION_2),
  ro(defs.VIRTIO_MMIO_DEVICE_ID, 'VIRTIO_MMIO_DEVICE_ID', (c) => c.deviceId),
  ro(defs.VIRTIO_MMIO_VENDOR_ID, 'VIRTIO_MMIO_VENDOR_ID', (c) => c.vendorId),
  ro(defs.VIRTIO_MMIO_DEVICE_FEATURES, 'VIRTIO_MMIO_DEVICE_FEATURES', (c) =>
    c.session.features.deviceWord(),
  ),
  wo(defs.VIRTIO_MMIO_DEVICE_FEATURES_SEL, 'VIRTIO_MMIO_DEVICE_FEATURES_SEL', (c, value) => {
    c.session.features.deviceSel = value;
  }),
  wo(defs.VIRTIO_MMIO_DRIVER_FEATURES, 'VIRTIO_MMIO_DRIVER_FEATURES', writeDriverFeatures),
  wo(defs.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 'VIRTIO_MMIO_DRIVER_FEATURES_SEL', (c, value) => {
    c.session.features.driverSel = value;
  }),
  wo(defs.VIRTIO_MMIO_QUEUE_SEL, 'VIRTIO_MMIO_QUEUE_SEL', (c, value) => {
    c.queueSel = value;
  }),
  ro(defs.VIRTIO_MMIO_QUEUE_NUM_MAX, 'VIRTIO_MMIO_QUEUE_NUM_MAX', (c) => selected(c)?.maxSize ?? 0),
  wo(
    defs.VIRTIO_MMIO_QUEUE_NUM,
    'VIRTIO_MMIO_QUEUE_NUM',
    changeQueue('VIRTIO_MMIO_QUEUE_NUM', (queue, value) => {
      queue.size = value;
    }),
  ),
  rw(
    defs.VIRTIO_MMIO_QUEUE_READY,
    'VIRTIO_MMIO_QUEUE_READY',
    (c) => (selected(c)?.ready === true ? 1 : 0),
    writeQueueReady,
  ),
  wo(defs.VIRTIO_MMIO_QUEUE_NOTIFY, 'VIRTIO_MMIO_QUEUE_NOTIFY', (c, value) => c.notify(value)),
  ro(defs.VIRTIO_MMIO_INTERRUPT_STATUS, 'VIRTIO_MMIO_INTERRUPT_STATUS', (c) => c.interruptStatus()),
  wo(defs.VIRTIO_MMIO_INTERRUPT_ACK, 'VIRTIO_MMIO_INTERRUPT_ACK', (c, value) =>
    c.acknowledge(value),
  ),
  rw(defs.VIRTIO_MMIO_STATUS, 'VIRTIO_MMIO_STATUS', (c) => c.session.status, writeStatus),
  ...address(defs.VIRTIO_MMIO_QUEUE_DESC_LOW, 'VIRTIO_MMIO_QUEUE_DESC', (queue) => queue.desc),
  ...address(defs.VIRTIO_MMIO_QUEUE_AVAIL_LOW, 'VIRTIO_MMIO_QUEUE_AVAIL', (queue) => queue.avail),
  ...address(defs.VIRTIO_MMIO_QUEUE_USED_LOW, 'VIRTIO_MMIO_QUEUE_USED', (queue) => queue.used),
  wo(defs.VIRTIO_MMIO_SHM_SEL, 'VIRTIO_MMIO_SHM_SEL', (c, value) => {
    c.shmSel = value;
  }),
  ro(defs.VIRTIO_MMIO_SHM_LEN_LOW, 'VIRTIO_MMIO_SHM_LEN_LOW', noRegion),
  ro(defs.VIRTIO_MMIO_SHM_LEN_HIGH, 'VIRTIO_MMIO_SHM_LEN_HIGH', noRegion),
  ro(defs.VIRTIO_MMIO_SHM_BASE_LOW, 'VIRTIO_MMIO_SHM_BASE_LOW', noRegion),
  ro(defs.VIRTIO_MMIO_SHM_BASE_HIGH, 'VIRTIO_MMIO_SHM_BASE_HIGH', noRegion),
  rw(
    defs.VIRTIO_MMIO_QUEUE_RESET,
    'VIRTIO_MMIO_QUEUE_RESET',
    (c) => (selected(c)?.resetting === true ? 1 : 0),
    writeQueueReset,
  ),
  ro(defs.VIRTIO_MMIO_CONFIG_GENERATION, 'VIRTIO_MMIO_CONFIG_GENERATION', (c) =>
    c.configGeneration(),
  ),
];
