import type { ChunkMapping, WantedChunk } from '@node-vmm/vm-memory';
import type {
  DemandRange,
  LentMapping,
  RingConfig,
  RingFdKind,
  RingMove,
  StoppedRing,
} from '../between/worker-calls.ts';

/** An instance of a device in its worker, as the memory that it borrows reaches it. */
export interface MemorySeat {
  /** Chunks that it wanted. Rejects when it is not there any more, or is about to go. */
  arrived(generation: number, chunks: readonly ChunkMapping[]): Promise<void>;
  /** Chunks have been taken away, or are to be given back. */
  ended(generation: number, memories: readonly number[]): void;
}

/** An instance needs memory. */
export interface MemoryWish {
  readonly seat: MemorySeat;
  readonly generation: number;
  readonly chunks: readonly WantedChunk[];
}

/**
 * A device as its front-end's connection reaches it, wherever it lives. Every method is answered by the
 * device's workers, and rejects with a `VhostUserBackendError` when the device refuses, has failed or
 * is gone.
 */
export interface DeviceLink {
  negotiated(features: bigint): Promise<void>;
  /** Stops all rings; then the device is as after power-on. */
  reset(): Promise<void>;
  readConfig(offset: number, length: number): Promise<Uint8Array>;
  writeConfig(offset: number, data: Uint8Array): Promise<void>;
  /** Makes memory visible to the workers: to all or, when it rejects, to none. */
  attachMemory(
    generation: number,
    mappings: readonly LentMapping[],
    onDemand: readonly DemandRange[],
  ): Promise<void>;
  /**
   * Puts attached memory in place of the old. When it rejects the device has failed.
   *
   * @returns the rings that had to stop
   */
  useMemory(generation: number, moves: readonly RingMove[]): Promise<StoppedRing[]>;
  startRing(ring: number, config: RingConfig): Promise<void>;
  /** @returns where to go on; undefined when the ring did not run */
  stopRing(ring: number): Promise<number | undefined>;
  enableRing(ring: number, enabled: boolean): Promise<void>;
  setRingFd(ring: number, kind: RingFdKind, fd: number | undefined): Promise<void>;
  /**
   * The front-end has gone: what it has asked for waits for requests of the device's for a second at most, however
   * many of its steps do.
   *
   * @returns ends that; to be called once
   */
  hasten(): () => void;
  /**
   * The front-end has gone: resets the device and takes all memory from it. Never rejects: afterwards
   * no worker uses anything of the front-end's, also where the device has failed.
   *
   * @param generation - of the empty memory that it has then
   */
  release(generation: number): Promise<void>;
}
