import type { VhostUserFrontend } from '@node-vmm/vhost-user-master';
import type { Logger } from '@node-vmm/vmm-sys-util';
import { VhostSupervisorError } from './errors.ts';
import type { RecordedRequests } from './recorded-requests.ts';
import type { RecordedRing } from './recorded-ring.ts';
import type { RecordedSession } from './recorded-session.ts';

const FD_REQUESTS = {
  err: 'VHOST_USER_SET_VRING_ERR',
  call: 'VHOST_USER_SET_VRING_CALL',
  kick: 'VHOST_USER_SET_VRING_KICK',
} as const;
/** The kick last: with it the ring is complete. */
const FD_ORDER = ['err', 'call', 'kick'] as const;

/**
 * Tells a serving process that has just begun what its front-end had told the one before. Its rings are
 * served without a kick where requests wait in them: a back-end looks at each once when it starts.
 *
 * @param frontend - negotiated, and nothing else
 * @param record - of the requests in flight, for a device that returns them in any order
 * @throws {VhostSupervisorError} CANNOT_REPLAY
 * @throws {VhostUserMasterError} as every request
 */
export async function replay(
  frontend: VhostUserFrontend,
  session: RecordedSession,
  logger: Logger,
  record?: RecordedRequests,
): Promise<void> {
  const { features, status, memory } = session;
  if (features !== undefined) {
    const missing = features & ~(frontend.deviceFeatures | (1n << 30n));
    if (missing !== 0n) {
      throw new VhostSupervisorError(
        'CANNOT_REPLAY',
        `Cannot go on with the device: the new serving process lacks features 0x${missing.toString(16)}`,
      );
    }
    await frontend.command('VHOST_USER_SET_FEATURES', features);
  }
  if (status !== undefined && status !== 0n) {
    await frontend.command('VHOST_USER_SET_STATUS', status);
  }
  if (memory.regions.length > 0) await shareMemory(frontend, session);
  // Before the first ring: where a record is, it begins with what is in it.
  if (record !== undefined && [...session.rings].some(({ running }) => running)) {
    await record.handOver(frontend);
  }
  for (const ring of session.rings) await replayRing(frontend, ring, session, logger);
}

/** In one table, or, where the front-end had added more than that takes, by and by as well. */
async function shareMemory(frontend: VhostUserFrontend, { memory }: RecordedSession) {
  const table = memory.regions.slice(0, VHOST_MEMORY_BASELINE_NREGIONS);
  await frontend.command(
    'VHOST_USER_SET_MEM_TABLE',
    table.map(({ region }) => region),
    {},
    table.map(({ fd }) => fd),
  );
  for (const { region, fd } of memory.regions.slice(table.length)) {
    await frontend.command('VHOST_USER_ADD_MEM_REG', region, {}, [fd]);
  }
}

/** Regions that one message carries: a limit of its descriptors. */
const VHOST_MEMORY_BASELINE_NREGIONS = 8;

async function replayRing(
  frontend: VhostUserFrontend,
  ring: RecordedRing,
  { memory }: RecordedSession,
  logger: Logger,
): Promise<void> {
  const { index, size, addr, enabled } = ring;
  let base: number;
  try {
    base = ring.resume(memory);
  } catch (err) {
    // The driver's own doing: it costs that ring, until the driver resets the device, and no other.
    logger.error({ ring: index, err }, 'ring not served again');
    return;
  }
  if (size !== undefined) await frontend.command('VHOST_USER_SET_VRING_NUM', { index, num: size });
  if (addr !== undefined) await frontend.command('VHOST_USER_SET_VRING_ADDR', addr);
  await frontend.command('VHOST_USER_SET_VRING_BASE', { index, num: base });
  for (const kind of FD_ORDER) {
    const fd = ring.fds.get(kind);
    if (fd !== undefined) {
      await frontend.command(FD_REQUESTS[kind], { index, hasFd: true }, {}, [fd]);
    }
  }
  if (enabled !== undefined) {
    const num = enabled ? 1 : 0;
    await frontend.command('VHOST_USER_SET_VRING_ENABLE', { index, num });
  }
}
