import { env } from 'node:process';
import {
  VIRTIO_ID_GPIO,
  VIRTIO_ID_I2C_ADAPTER,
  VIRTIO_ID_RNG,
  VIRTIO_MMIO_WINDOW_SIZE,
} from '@node-vmm/virtio-bindings';
import type { Announcement, Bed } from './bed.ts';
import { BoxError } from './errors.ts';

/** A virtio device that a guest is to have, by its name on the bridge's command line. */
export type DeviceType = 'i2c' | 'rng' | 'gpio';

/** What a guest's configuration needs for its devices. */
export interface AnnouncedDevices {
  /** Lines of xl's configuration file. */
  readonly config: readonly string[];
  /** Added to the guest's kernel command line. */
  readonly kernelArgs: string;
  /** Shell command that dom0 runs before; empty for none. */
  readonly prepare: string;
}

/** VIRTIO 1.3 §5. */
const DEVICE_IDS: Readonly<Record<DeviceType, number>> = {
  rng: VIRTIO_ID_RNG,
  i2c: VIRTIO_ID_I2C_ADAPTER,
  gpio: VIRTIO_ID_GPIO,
};

/** Windows of devices that the guest's kernel is told of: what the firmware leaves free. */
const TOLD_BASE = 0xe000_0000;
/** ISA lines that nothing else in the guest uses. */
const TOLD_IRQS = [5, 10, 11];
/** Major number of loop devices: xl wants a block device, and nobody opens it. */
const DISK_MAJOR = 7;

interface ToldPlace {
  readonly base: string;
  readonly irq: number;
}

function toldPlace(index: number): ToldPlace {
  const irq = TOLD_IRQS[index % TOLD_IRQS.length] as number;
  return { base: `0x${(TOLD_BASE + index * VIRTIO_MMIO_WINDOW_SIZE).toString(16)}`, irq };
}

function vdev(index: number): string {
  return `xvd${String.fromCharCode(97 + index)}`;
}

function quotedList(key: string, items: readonly string[]): string {
  return `${key} = [ ${items.map((item) => `"${item}"`).join(', ')} ]`;
}

const ANNOUNCE: Readonly<
  Record<Announcement, (devices: readonly DeviceType[]) => AnnouncedDevices>
> = {
  virtio: (devices) => ({
    config: [
      quotedList(
        'virtio',
        devices.map((type) => {
          const id = DEVICE_IDS[type].toString(16);
          return `type=virtio,device${id},transport=mmio,grant_usage=0`;
        }),
      ),
    ],
    kernelArgs: '',
    prepare: '',
  }),
  disk: (devices) => {
    const target = (index: number): string => `/dev/box-disk${index}`;
    return {
      config: [
        quotedList(
          'disk',
          devices.map(
            (_type, index) =>
              'backendtype=standalone,specification=virtio,format=raw,' +
              `vdev=${vdev(index)},access=rw,target=${target(index)}`,
          ),
        ),
      ],
      kernelArgs: '',
      prepare: devices
        .map(
          (_type, index) =>
            `[ -b ${target(index)} ] || mknod ${target(index)} b ${DISK_MAJOR} ${index}`,
        )
        .join('; '),
    };
  },
  told: (devices) => ({
    config: [],
    kernelArgs: devices
      .map((_type, index) => {
        const { base, irq } = toldPlace(index);
        return `virtio_mmio.device=0x${VIRTIO_MMIO_WINDOW_SIZE.toString(16)}@${base}:${irq}`;
      })
      .join(' '),
    prepare: '',
  }),
};

/** How a guest is given devices on a bed. */
export function announce(bed: Bed, devices: readonly DeviceType[]): AnnouncedDevices {
  return devices.length === 0
    ? { config: [], kernelArgs: '', prepare: '' }
    : ANNOUNCE[bed.announcement](devices);
}

/**
 * Options of `xen-vhost-master` for the devices of some guests, as far as the toolstack does not tell
 * it, and its dispatch threads where `NODE_VMM_DISPATCH_THREADS` says how many; may be empty.
 *
 * @param guests - devices by the names of the guests that will be created
 */
export function bridgeArguments(
  bed: Bed,
  guests: Readonly<Record<string, readonly DeviceType[]>>,
): string {
  const options = Object.entries(guests).flatMap(([guest, devices]) =>
    devices.map((type, index) => {
      if (bed.announcement === 'disk') return `--virtio-disk ${guest}:${vdev(index)}=${type}`;
      const { base, irq } = toldPlace(index);
      return `--device ${type},domain=${guest},base=${base},irq=${irq}`;
    }),
  );
  const told = bed.announcement === 'virtio' ? [] : options;
  return [...told, ...dispatchThreadsArguments()].join(' ');
}

/** How many dispatch threads the bridges of a run have; theirs is the default where it is not set. */
const THREADS_VARIABLE = 'NODE_VMM_DISPATCH_THREADS';

function dispatchThreadsArguments(): readonly string[] {
  const threads = env[THREADS_VARIABLE];
  if (threads === undefined || threads === '') return [];
  if (/^[0-9]{1,2}$/.test(threads)) return [`--dispatch-threads ${threads}`];
  const text = `Cannot use ${THREADS_VARIABLE}=${threads}: it is no number of threads, such as 2`;
  throw new BoxError('BAD_ENVIRONMENT', text);
}
