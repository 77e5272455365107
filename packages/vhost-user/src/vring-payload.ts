import { VIRTQUEUE_MAX_SIZE } from '@node-vmm/virtio-bindings';
import { struct, u64 } from '@node-vmm/vmm-sys-util';
import { VHOST_USER_VRING_IDX_MASK, VHOST_USER_VRING_NOFD_MASK } from './header.ts';
import {
  checkAligned,
  checkSpan,
  checkUint,
  checkUint64,
  firstOf,
  type PayloadCodec,
  structPayload,
} from './payload-codec.ts';
import type { VringAddr, VringArea, VringFd, VringState } from './payload-values.ts';
import { VHOST_USER_VRING_AREA, VHOST_VRING_ADDR, VHOST_VRING_STATE } from './structs.ts';

const U64 = struct('u64', { u64: u64(0) }, { size: 8 });

/** One bit is defined: VHOST_VRING_F_LOG. */
const VRING_ADDR_KNOWN_FLAGS = 0x1;

type CheckNum = (num: number) => string | undefined;

function statePayload(checkNum?: CheckNum, checkSentNum?: CheckNum): PayloadCodec<VringState> {
  return structPayload(
    VHOST_VRING_STATE,
    ({ index, num }) => ({ index, num }),
    ({ index, num }) => ({ index, num }),
    ({ index, num }) =>
      firstOf(checkUint('vring index', index, 32), checkUint('num', num, 32), checkNum?.(num)),
    ({ num }) => checkSentNum?.(num),
  );
}

/** `vhost_vring_state` with any number. */
export const VRING_STATE_PAYLOAD: PayloadCodec<VringState> = statePayload();

/** `vhost_vring_state` whose number is a queue size. */
export const VRING_SIZE_PAYLOAD: PayloadCodec<VringState> = statePayload(undefined, (num) =>
  num >= 1 && num <= VIRTQUEUE_MAX_SIZE
    ? undefined
    : `queue size ${num}, not 1..${VIRTQUEUE_MAX_SIZE}`,
);

/** `vhost_vring_state` whose number is off or on. */
export const VRING_FLAG_PAYLOAD: PayloadCodec<VringState> = statePayload((num) =>
  num <= 1 ? undefined : `value ${num}, not 0 or 1`,
);

/** `vhost_vring_state` whose number is reserved. */
export const VRING_INDEX_PAYLOAD: PayloadCodec<VringState> = statePayload((num) =>
  num === 0 ? undefined : `reserved field is ${num}, not 0`,
);

/** `vhost_vring_addr`. */
export const VRING_ADDR_PAYLOAD: PayloadCodec<VringAddr> = structPayload(
  VHOST_VRING_ADDR,
  (wire) => ({
    index: wire.index,
    flags: wire.flags,
    descTable: wire.desc_user_addr,
    usedRing: wire.used_user_addr,
    availRing: wire.avail_user_addr,
    log: wire.log_guest_addr,
  }),
  (value) => ({
    index: value.index,
    flags: value.flags,
    desc_user_addr: value.descTable,
    used_user_addr: value.usedRing,
    avail_user_addr: value.availRing,
    log_guest_addr: value.log,
  }),
  (value) =>
    firstOf(
      checkUint('vring index', value.index, 32),
      (value.flags & ~VRING_ADDR_KNOWN_FLAGS) === 0 ? undefined : 'unknown vring flags',
      checkUint64('descriptor table', value.descTable),
      checkUint64('available ring', value.availRing),
      checkUint64('used ring', value.usedRing),
      checkUint64('log address', value.log),
    ),
  (value) =>
    firstOf(
      checkAligned('descriptor table', value.descTable, 16n),
      checkAligned('available ring', value.availRing, 2n),
      checkAligned('used ring', value.usedRing, 4n),
    ),
);

const KNOWN_FD_BITS = BigInt(VHOST_USER_VRING_IDX_MASK | VHOST_USER_VRING_NOFD_MASK);

function indexAndFd(value: bigint): VringFd | string {
  if ((value & ~KNOWN_FD_BITS) !== 0n) return `reserved bits set in 0x${value.toString(16)}`;
  const bits = Number(value);
  return {
    index: bits & VHOST_USER_VRING_IDX_MASK,
    hasFd: (bits & VHOST_USER_VRING_NOFD_MASK) === 0,
  };
}

const toIndexBits = ({ index, hasFd }: VringFd): bigint =>
  BigInt(index | (hasFd ? 0 : VHOST_USER_VRING_NOFD_MASK));

/** Vring index with the invalid-descriptor flag. */
export const VRING_FD_PAYLOAD: PayloadCodec<VringFd> = {
  size: () => [U64.SIZE, U64.SIZE],
  decode: (source) => indexAndFd(U64.decode(source).u64),
  encode: (value) => U64.encode({ u64: toIndexBits(value) }),
  check: ({ index }) => checkUint('vring index', index, 8),
};

/** Vring area description. */
export const VRING_AREA_PAYLOAD: PayloadCodec<VringArea> = {
  size: () => [VHOST_USER_VRING_AREA.SIZE, VHOST_USER_VRING_AREA.SIZE],
  decode: (source) => {
    const wire = VHOST_USER_VRING_AREA.decode(source);
    const vring = indexAndFd(wire.u64);
    return typeof vring === 'string' ? vring : { ...vring, size: wire.size, offset: wire.offset };
  },
  encode: (value) =>
    VHOST_USER_VRING_AREA.encode({
      u64: toIndexBits(value),
      size: value.size,
      offset: value.offset,
    }),
  check: (value) =>
    firstOf(
      checkUint('vring index', value.index, 8),
      checkSpan('offset', value.offset, value.size),
    ),
};
