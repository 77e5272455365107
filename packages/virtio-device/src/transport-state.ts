import type { QueueRegistersState } from './queue-registers.ts';
import { type QueueWords, type RegisterMemory, wide } from './register-memory.ts';

/** All registers as a plain object: what another transport needs to go on from here. */
export interface MmioTransportState {
  readonly status: number;
  readonly deviceFeaturesSel: number;
  readonly driverFeaturesSel: number;
  readonly driverFeatures: bigint;
  readonly queueSel: number;
  readonly shmSel: number;
  readonly interruptStatus: number;
  /** The driver has read InterruptStatus since its reset: its acknowledgements mean what it read. */
  readonly interruptStatusRead: boolean;
  readonly configGeneration: number;
  readonly queues: readonly QueueRegistersState[];
}

/**
 * A copy of registers, whoever has them or had them.
 *
 * @param generation - of configuration that changes unseen by the transport
 */
export function transportState(memory: RegisterMemory, generation = 0): MmioTransportState {
  const { transport: own } = memory;
  return {
    status: own.status,
    deviceFeaturesSel: own.deviceFeaturesSel,
    driverFeaturesSel: own.driverFeaturesSel,
    driverFeatures: wide(own.driverFeaturesLow, own.driverFeaturesHigh),
    queueSel: own.queueSel,
    shmSel: own.shmSel,
    interruptStatus: own.interruptStatus,
    interruptStatusRead: own.interruptStatusRead !== 0,
    configGeneration: (own.configChanges + generation) >>> 0,
    queues: memory.queues.map(queueState),
  };
}

function queueState(queue: QueueWords): QueueRegistersState {
  return {
    size: queue.size,
    ready: queue.ready !== 0,
    descTable: wide(queue.descLow, queue.descHigh),
    availRing: wide(queue.availLow, queue.availHigh),
    usedRing: wide(queue.usedLow, queue.usedHigh),
  };
}
