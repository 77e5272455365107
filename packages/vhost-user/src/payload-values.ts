/** `vhost_vring_state`: `num` means size, base, on or off, by message. */
export interface VringState {
  readonly index: number;
  readonly num: number;
}

/** `vhost_vring_addr`. Ring addresses are user addresses of the memory table. */
export interface VringAddr {
  readonly index: number;
  /** Bit 0 is VHOST_VRING_F_LOG. */
  readonly flags: number;
  readonly descTable: bigint;
  readonly usedRing: bigint;
  readonly availRing: bigint;
  /** Guest address that the used ring's writes are logged at. */
  readonly log: bigint;
}

/** Payload of SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR. */
export interface VringFd {
  /** 0..255. */
  readonly index: number;
  /** False: poll instead. The message then carries no descriptor. */
  readonly hasFd: boolean;
}

/** How a region of a Xen guest is mapped. */
export interface XenRegion {
  /** `XEN_MMAP_*`. */
  readonly mmapFlags: number;
  readonly domid: number;
}

/** A region of the memory table. All in bytes, end addresses within 64 bits. */
export interface MemoryRegion {
  readonly guestAddr: bigint;
  readonly size: bigint;
  readonly userAddr: bigint;
  readonly mmapOffset: bigint;
  /** There exactly when XEN_MMAP has been negotiated. */
  readonly xen?: XenRegion;
}

/** Dirty log in shared memory. */
export interface LogArea {
  readonly mmapSize: bigint;
  readonly mmapOffset: bigint;
}

/** A window of configuration space. */
export interface ConfigWindow {
  readonly offset: number;
  /** 0 writable fields, 1 migration; 2 is rust-vmm's migration. */
  readonly flags: number;
  /** The bytes; empty in a reply that says failure. */
  readonly data: Uint8Array;
}

/** Buffer that tracks requests in flight. */
export interface InflightArea {
  readonly mmapSize: bigint;
  readonly mmapOffset: bigint;
  readonly numQueues: number;
  readonly queueSize: number;
}

/** `vhost_iotlb_msg`. */
export interface IotlbMessage {
  readonly iova: bigint;
  readonly size: bigint;
  readonly userAddr: bigint;
  /** 0 none, 1 read, 2 write, 3 both. */
  readonly perm: number;
  /** 1 miss, 2 update, 3 invalidate, 4 access fail. */
  readonly type: number;
}

/** Host notifier area of a vring. */
export interface VringArea {
  readonly index: number;
  readonly hasFd: boolean;
  readonly size: bigint;
  readonly offset: bigint;
}

/** Parameters of a device state transfer. */
export interface DeviceStateTransfer {
  /** 0 save, 1 load. */
  readonly direction: number;
  /** 0 stopped. */
  readonly phase: number;
}

/** Mapping of a file into a VIRTIO shared memory region. */
export interface ShmemMapping {
  readonly shmid: number;
  readonly fdOffset: bigint;
  readonly shmOffset: bigint;
  readonly length: bigint;
  /** 0 read-only, 1 read-write. */
  readonly flags: bigint;
}

/** Decoded payload by kind. */
export interface PayloadValues {
  none: undefined;
  u64: bigint;
  features: bigint;
  protocolFeatures: bigint;
  /** `num` free. */
  vringState: VringState;
  /** `num` 1..32768. */
  vringSize: VringState;
  /** `num` 0 or 1. */
  vringFlag: VringState;
  /** `num` 0. */
  vringIndex: VringState;
  vringAddr: VringAddr;
  vringFd: VringFd;
  memory: readonly MemoryRegion[];
  memoryRegion: MemoryRegion;
  /** With LOG_SHMFD an area, else an address. */
  log: LogArea | bigint;
  config: ConfigWindow;
  inflight: InflightArea;
  iotlb: IotlbMessage;
  vringArea: VringArea;
  /** UUID, 16 bytes. */
  sharedObject: Uint8Array;
  deviceState: DeviceStateTransfer;
  mmap: ShmemMapping;
  /** Size of each VIRTIO shared memory region by shmid; 0 for those that there are not. */
  shmemConfig: readonly bigint[];
  /** Opaque to us (crypto sessions). */
  bytes: Uint8Array;
}

/** Name of a payload's layout. */
export type PayloadKind = keyof PayloadValues;

/** What both sides have agreed on that changes the layouts of what is sent. */
export interface CodecOptions {
  /**
   * XEN_MMAP has been negotiated: memory regions are sent with 40 bytes instead of 32. What is received
   * is read by its size: QEMU 8.2 to 11.1 accept the bit and go on sending 32.
   */
  xenMmap: boolean;
}
