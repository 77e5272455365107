import {
  Bridge,
  CombinedSource,
  type DeviceSource,
  FixedSockets,
  type HoldGuest,
  SocketDirectory,
  type SocketProvider,
  SpawnedBackends,
} from '@node-vmm/vhost-bridge';
import { bridgeMetrics } from '@node-vmm/vhost-bridge/status';
import { openMetrics, openStatusSocket, type Program } from '@node-vmm/vhost-device-cli';
import { type Logger, MainPoller } from '@node-vmm/vmm-sys-util';
import { XenStore } from '@node-vmm/xen-store';
import { DomainPauser, XenHost } from '@node-vmm/xen-sys';
import { attachXenGuest } from './attach-xen-guest.ts';
import { candidateTypes } from './candidates.ts';
import { controlPathIn } from './control-path.ts';
import { Domains } from './domains.ts';
import { GuestKeeping } from './guest-keeping.ts';
import { guestHolder } from './hold-guest.ts';
import { openDispatchPool } from './open-dispatch-pool.ts';
import { openStateDir } from './open-state-dir.ts';
import { serveDevices } from './serve-devices.ts';
import type { Arguments } from './settings.ts';
import { defaultStateDir } from './state-dir.ts';
import { ToldSource } from './told-source.ts';
import { VirtioDiskProtocol } from './virtio-disk-protocol.ts';
import { VirtioProtocol } from './virtio-protocol.ts';
import { XenbusSource } from './xenbus-source.ts';

/** How long a xenstored that ended has to be there again. */
const XENSTORE_RETURN_MS = 60_000;

function socketProvider(run: Arguments): SocketProvider {
  const fixed = new FixedSockets(run.sockets);
  if (run.directory === undefined) return fixed;
  const directory = new SocketDirectory(run.directory);
  return {
    lease: (device, key, wanted) =>
      run.sockets.has(device.name)
        ? fixed.lease(device, key)
        : directory.lease(device, key, wanted),
  };
}

/** Every way in which devices are announced here. */
function deviceSource(
  run: Arguments,
  components: {
    readonly store: XenStore;
    readonly logger: Logger;
    readonly hold: HoldGuest;
    readonly domains: Domains;
    readonly left: ReadonlyMap<string, boolean>;
  },
): DeviceSource {
  const { logger, domains } = components;
  const sources: DeviceSource[] = [
    new XenbusSource({ ...components, protocol: new VirtioProtocol(() => candidateTypes(run)) }),
  ];
  const { virtioDisks: rules, devices } = run;
  const blk = run.sockets.has('blk') || run.spawn.has('blk');
  if (blk || rules.length > 0) {
    const protocol = new VirtioDiskProtocol({ rules, blk, domains });
    sources.push(new XenbusSource({ ...components, protocol }));
  }
  if (devices.length > 0) sources.push(new ToldSource({ ...components, devices }));
  return new CombinedSource(sources, logger);
}

/**
 * Serves guests until a signal asks for the end or the xenstore is gone.
 *
 * @returns the exit code
 */
export async function serve(run: Arguments, program: Program): Promise<number> {
  let bridge: Bridge | undefined;
  let sockets: SpawnedBackends | undefined;
  const status = (): object => ({
    ...(bridge?.status() ?? { guests: [], devices: [] }),
    backends: sockets?.status() ?? [],
  });
  const logger = await program.start({ level: run.logLevel }, status);
  using xen = XenHost.open();
  using poller = new MainPoller();
  await using host = await openDispatchPool(run, { poller, logger });
  using store = XenStore.open({
    poller,
    logger,
    reconnect: XENSTORE_RETURN_MS,
    ...(run.xenstore === undefined ? {} : { path: run.xenstore }),
  });
  const { major, minor } = xen.version();
  logger.info({ xen: `${major}.${minor}` }, 'starting');
  sockets = new SpawnedBackends(run.spawn, socketProvider(run), logger);
  const domains = new Domains(store, logger);
  using dir = openStateDir(run, logger);
  const stateDir = run.stateDir ?? defaultStateDir();
  const usual = stateDir === undefined ? undefined : controlPathIn(stateDir);
  using _control = await openStatusSocket({ asked: run.controlSocket, usual }, status, logger);
  const measured = () => (bridge === undefined ? [] : bridgeMetrics(bridge.status()));
  using _metrics = await openMetrics(run.metrics, measured, logger);
  const keeping = dir && new GuestKeeping({ dir, domains, logger });
  const leaves = run.keep !== false;
  const left = (await keeping?.find()) ?? new Map<string, boolean>();
  bridge = new Bridge({
    attachVm: (guest, memory) => {
      const takeUp = keeping?.claim(guest);
      const attached = attachXenGuest({ xen, poller, logger, host }, guest, {
        notification: run.notification,
        holdMs: run.hold * 1000,
        ...(memory === undefined ? {} : { memory }),
        ...(takeUp === undefined ? {} : { takeUp }),
      });
      if (leaves) keeping?.attached(guest, attached);
      return attached;
    },
    sockets,
    holdMs: run.hold * 1000,
    poller,
    logger,
  });
  const hold = guestHolder(new DomainPauser(xen.privcmd), logger);
  const source = deviceSource(run, { store, logger, hold, domains, left });
  try {
    keeping?.takeUp(bridge);
    return await serveDevices({ bridge, source, gone: store.ended }, program, logger);
  } finally {
    if (leaves && keeping !== undefined) {
      await source.leave?.();
      await keeping.keep(bridge);
    } else {
      await source.close();
      await bridge.close();
    }
    sockets.close();
  }
}
