import { hasProtocolFeature } from '@node-vmm/vhost-user';
import {
  INFLIGHT_PROTOCOL_FEATURE,
  VhostUserFrontend,
  VhostUserMasterError,
} from '@node-vmm/vhost-user-master';
import type { Logger, Poller } from '@node-vmm/vmm-sys-util';
import { OFFERED_FEATURES, USED_PROTOCOL_FEATURES } from './features.ts';
import type { LettingGo } from './letting-go.ts';
import type { MemoryGiver } from './memory-sharing.ts';

/** Bytes by which configuration spaces of a device type differ: fields are added in words. */
const CONFIG_STEP = 4;

/** A back-end, and what it is given. */
export interface BackendOptions {
  /** The back-end's socket. */
  readonly path: string;
  /** For how long nobody is told that it is not there, milliseconds, default 0. */
  readonly graceMs?: number;
  /** Gives it the guest's memory. */
  readonly memory: MemoryGiver;
  /** Bytes of configuration space that the device type has. */
  readonly configSize: number;
  /** Admit VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD: an area is given to it before the first ring. */
  readonly recordsInflight: boolean;
  /** Ends connections of which some memory has been given, when the guest goes away. */
  readonly lettingGo: LettingGo;
  readonly poller: Poller;
  readonly logger: Logger;
}

/** A back-end that can be given rings. */
export interface ReadyBackend {
  /** Negotiated, and with the guest's memory. */
  readonly frontend: VhostUserFrontend;
  /** The device's configuration space. */
  readonly config: Uint8Array;
}

/**
 * Makes one attempt to connect to a back-end, and to get it to where it can be given rings. Nobody
 * listens to the connection yet: it may have ended with its last reply, which `live` tells.
 *
 * @throws {SysError} when nobody listens on the socket
 * @throws {VhostUserMasterError} when the connection is lost, and for what the back-end cannot do
 */
export async function connectBackend(
  options: BackendOptions,
  signal: AbortSignal,
): Promise<ReadyBackend> {
  const { path, poller, logger, memory, configSize } = options;
  // Connecting again is up to the link.
  const connection = { path, poller, logger, signal, reconnect: false };
  const frontend = await VhostUserFrontend.connect(connection);
  try {
    const protocolFeatures = options.recordsInflight
      ? USED_PROTOCOL_FEATURES | INFLIGHT_PROTOCOL_FEATURE
      : USED_PROTOCOL_FEATURES;
    await frontend.negotiate({ features: OFFERED_FEATURES, protocolFeatures }, { signal });
    await memory.give(frontend, signal);
    return { frontend, config: await readConfig(frontend, configSize, signal) };
  } catch (error) {
    // Whoever gives up lets the guest go, of which this one may have mapped some.
    if (signal.aborted) {
      await options.lettingGo.by(frontend.peerPid, (timeoutMs) => frontend.finish(timeoutMs));
    }
    frontend.close();
    throw error;
  }
}

/**
 * Reads as much of the configuration space as the back-end has.
 *
 * @param configSize - bytes that the device type has
 * @returns nothing where the back-end has no VHOST_USER_PROTOCOL_F_CONFIG
 * @throws {VhostUserMasterError}
 */
export async function readConfig(
  frontend: VhostUserFrontend,
  configSize: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const has = hasProtocolFeature(frontend.protocolFeatures, 'VHOST_USER_PROTOCOL_F_CONFIG');
  if (!has) return new Uint8Array(0);
  // A back-end that knows fewer fields refuses to give more than it has, and cannot say how much
  // that is: QEMU 7.2's block device has 60 bytes of 72.
  for (let length = configSize; length > 0; length -= CONFIG_STEP) {
    try {
      return await frontend.getConfig(0, length, { signal });
    } catch (error) {
      const last = length <= CONFIG_STEP;
      if (last || !VhostUserMasterError.is(error, 'REQUEST_FAILED')) throw error;
    }
  }
  return new Uint8Array(0);
}
