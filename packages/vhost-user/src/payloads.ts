import { struct, u64 } from '@node-vmm/vmm-sys-util';
import { VHOST_USER_CONFIG_MAX, VHOST_USER_MAX_PAYLOAD } from './header.ts';
import { MEMORY_PAYLOAD, MEMORY_REGION_PAYLOAD } from './memory-payload.ts';
import {
  checkSpan,
  checkUint,
  checkUint64,
  firstOf,
  type PayloadCodec,
  structPayload,
  viewOfBytes,
} from './payload-codec.ts';
import type { ConfigWindow, LogArea, PayloadKind, PayloadValues } from './payload-values.ts';
import {
  VHOST_IOTLB_MSG,
  VHOST_USER_CONFIG,
  VHOST_USER_INFLIGHT,
  VHOST_USER_LOG,
  VHOST_USER_MMAP,
  VHOST_USER_SHARED,
  VHOST_USER_SHMEM_CONFIG,
  VHOST_USER_TRANSFER_DEVICE_STATE,
} from './structs.ts';
import {
  VRING_ADDR_PAYLOAD,
  VRING_AREA_PAYLOAD,
  VRING_FD_PAYLOAD,
  VRING_FLAG_PAYLOAD,
  VRING_INDEX_PAYLOAD,
  VRING_SIZE_PAYLOAD,
  VRING_STATE_PAYLOAD,
} from './vring-payload.ts';

const U64_PAYLOAD = structPayload(
  struct('u64', { u64: u64(0) }, { size: 8 }),
  (wire) => wire.u64,
  (value: bigint) => ({ u64: value }),
  (value) => checkUint64('value', value),
);

const LOG_AREA = structPayload(
  VHOST_USER_LOG,
  (wire): LogArea => ({ mmapSize: wire.mmap_size, mmapOffset: wire.mmap_offset }),
  (value) => ({ mmap_size: value.mmapSize, mmap_offset: value.mmapOffset }),
  (value) =>
    value.mmapSize === 0n
      ? 'dirty log of size 0'
      : checkSpan('log offset', value.mmapOffset, value.mmapSize),
);

const LOG_PAYLOAD: PayloadCodec<LogArea | bigint> = {
  size: () => [8, VHOST_USER_LOG.SIZE],
  decode: (source) => {
    if (source.length === 8) return U64_PAYLOAD.decode(source);
    if (source.length === VHOST_USER_LOG.SIZE) return LOG_AREA.decode(source);
    return 'neither an address nor an area';
  },
  encode: (value, options) =>
    typeof value === 'bigint'
      ? U64_PAYLOAD.encode(value, options)
      : LOG_AREA.encode(value, options),
  check: (value) =>
    typeof value === 'bigint' ? U64_PAYLOAD.check?.(value) : LOG_AREA.check?.(value),
};

// rust-vmm numbers the flags 1 and 2, the specification 0 and 1: all of them are tolerated.
const CONFIG_KNOWN_FLAGS = 0x3;

const CONFIG_PAYLOAD: PayloadCodec<ConfigWindow> = {
  size: () => [0, VHOST_USER_CONFIG.SIZE + VHOST_USER_CONFIG_MAX],
  decode: (source) => {
    // "Zero length of payload to indicate an error": some send no header either.
    if (source.length === 0) return { offset: 0, flags: 0, data: source };
    if (source.length < VHOST_USER_CONFIG.SIZE) return 'shorter than its header';
    const { offset, size, flags } = VHOST_USER_CONFIG.read(viewOfBytes(source));
    const data = source.slice(VHOST_USER_CONFIG.SIZE);
    return size === data.length
      ? { offset, flags, data }
      : `header says ${size} bytes, ${data.length} follow`;
  },
  encode: ({ offset, flags, data }) => {
    const out = new Uint8Array(VHOST_USER_CONFIG.SIZE + data.length);
    VHOST_USER_CONFIG.write(viewOfBytes(out), 0, { offset, size: data.length, flags });
    out.set(data, VHOST_USER_CONFIG.SIZE);
    return out;
  },
  check: ({ offset, flags, data }) =>
    firstOf(
      checkUint('offset', offset, 32),
      (flags & ~CONFIG_KNOWN_FLAGS) === 0 ? undefined : 'unknown config flags',
      offset + data.length <= VHOST_USER_CONFIG_MAX
        ? undefined
        : `config window ends at ${offset + data.length}, over ${VHOST_USER_CONFIG_MAX}`,
    ),
};

/** VIRTIO shared memory region ids have 8 bits. */
const SHMEM_REGIONS = 256;

const SHMEM_CONFIG_PAYLOAD: PayloadCodec<readonly bigint[]> = {
  size: () => [VHOST_USER_SHMEM_CONFIG.SIZE, VHOST_USER_SHMEM_CONFIG.SIZE + 8 * SHMEM_REGIONS],
  decode: (source) => {
    const view = viewOfBytes(source);
    const count = (source.length - VHOST_USER_SHMEM_CONFIG.SIZE) / 8;
    if (!Number.isInteger(count)) return 'no whole number of sizes';
    const { nregions } = VHOST_USER_SHMEM_CONFIG.read(view);
    const field = u64(0);
    const sizes = Array.from({ length: count }, (_, i) =>
      view.getBigUint64(VHOST_USER_SHMEM_CONFIG.SIZE + 8 * i, field.littleEndian),
    );
    const used = sizes.filter((size) => size !== 0n).length;
    return used === nregions ? sizes : `header says ${nregions} regions, ${used} have a size`;
  },
  encode: (sizes) => {
    const out = new Uint8Array(VHOST_USER_SHMEM_CONFIG.SIZE + 8 * SHMEM_REGIONS);
    const view = viewOfBytes(out);
    const nregions = sizes.filter((size) => size !== 0n).length;
    VHOST_USER_SHMEM_CONFIG.write(view, 0, { nregions });
    const field = u64(0);
    sizes.forEach((size, i) => {
      view.setBigUint64(VHOST_USER_SHMEM_CONFIG.SIZE + 8 * i, size, field.littleEndian);
    });
    return out;
  },
  check: (sizes) =>
    sizes.length > SHMEM_REGIONS
      ? `${sizes.length} shared memory regions, at most ${SHMEM_REGIONS}`
      : undefined,
};

/** Every payload layout of the protocol, by kind. */
export const PAYLOADS: { readonly [K in PayloadKind]: PayloadCodec<PayloadValues[K]> } = {
  none: { size: () => [0, 0], decode: () => undefined, encode: () => new Uint8Array(0) },
  u64: U64_PAYLOAD,
  features: U64_PAYLOAD,
  protocolFeatures: U64_PAYLOAD,
  vringState: VRING_STATE_PAYLOAD,
  vringSize: VRING_SIZE_PAYLOAD,
  vringFlag: VRING_FLAG_PAYLOAD,
  vringIndex: VRING_INDEX_PAYLOAD,
  vringAddr: VRING_ADDR_PAYLOAD,
  vringFd: VRING_FD_PAYLOAD,
  vringArea: VRING_AREA_PAYLOAD,
  memory: MEMORY_PAYLOAD,
  memoryRegion: MEMORY_REGION_PAYLOAD,
  log: LOG_PAYLOAD,
  config: CONFIG_PAYLOAD,
  inflight: structPayload(
    VHOST_USER_INFLIGHT,
    (wire) => ({
      mmapSize: wire.mmap_size,
      mmapOffset: wire.mmap_offset,
      numQueues: wire.num_queues,
      queueSize: wire.queue_size,
    }),
    (value) => ({
      mmap_size: value.mmapSize,
      mmap_offset: value.mmapOffset,
      num_queues: value.numQueues,
      queue_size: value.queueSize,
    }),
    (value) =>
      firstOf(
        checkUint('queue count', value.numQueues, 16),
        checkUint('queue size', value.queueSize, 16),
        value.numQueues === 0 || value.queueSize === 0
          ? 'no queues or queues of size 0'
          : undefined,
        checkSpan('mmap offset', value.mmapOffset, value.mmapSize),
      ),
  ),
  iotlb: structPayload(
    VHOST_IOTLB_MSG,
    (wire) => ({
      iova: wire.iova,
      size: wire.size,
      userAddr: wire.uaddr,
      perm: wire.perm,
      type: wire.type,
    }),
    (value) => ({
      iova: value.iova,
      size: value.size,
      uaddr: value.userAddr,
      perm: value.perm,
      type: value.type,
    }),
    (value) =>
      firstOf(
        checkUint('permissions', value.perm, 8),
        value.perm <= 3 ? undefined : `permissions ${value.perm}, not 0..3`,
        value.type >= 1 && value.type <= 4 ? undefined : `IOTLB type ${value.type}, not 1..4`,
        checkSpan('IOVA', value.iova, value.size),
        checkSpan('user address', value.userAddr, value.size),
      ),
  ),
  sharedObject: structPayload(
    VHOST_USER_SHARED,
    (wire) => wire.uuid,
    (value: Uint8Array) => ({ uuid: value }),
    (value) =>
      firstOf(
        value.length === 16 ? undefined : `UUID of ${value.length} bytes, not 16`,
        value.every((byte) => byte === 0) || value.every((byte) => byte === 0xff)
          ? 'nil or max UUID'
          : undefined,
      ),
  ),
  deviceState: structPayload(
    VHOST_USER_TRANSFER_DEVICE_STATE,
    ({ direction, phase }) => ({ direction, phase }),
    ({ direction, phase }) => ({ direction, phase }),
    ({ direction, phase }) =>
      firstOf(
        direction === 0 || direction === 1 ? undefined : `direction ${direction}, not 0 or 1`,
        phase === 0 ? undefined : `phase ${phase}, not 0`,
      ),
  ),
  mmap: structPayload(
    VHOST_USER_MMAP,
    (wire) => ({
      shmid: wire.shmid,
      fdOffset: wire.fd_offset,
      shmOffset: wire.shm_offset,
      length: wire.len,
      flags: wire.flags,
    }),
    (value) => ({
      shmid: value.shmid,
      fd_offset: value.fdOffset,
      shm_offset: value.shmOffset,
      len: value.length,
      flags: value.flags,
    }),
    (value) =>
      firstOf(
        checkUint('shmid', value.shmid, 8),
        value.length === 0n ? 'mapping of length 0' : undefined,
        value.flags === 0n || value.flags === 1n ? undefined : 'unknown mapping flags',
        checkSpan('file offset', value.fdOffset, value.length),
        checkSpan('region offset', value.shmOffset, value.length),
      ),
  ),
  shmemConfig: SHMEM_CONFIG_PAYLOAD,
  bytes: {
    size: () => [0, VHOST_USER_MAX_PAYLOAD],
    decode: (source) => source.slice(),
    encode: (value) => value,
  },
};
