import { hasFeature, VIRTIO_F_VERSION_1 } from '@node-vmm/virtio-bindings';
import { type TransportWords, wide } from './register-memory.ts';

const WORD_BITS = 32n;
const WORD_MASK = 0xffff_ffffn;

/**
 * Feature negotiation through two selectable 32-bit words (VIRTIO 1.3 §2.2, §4.2.2): words may be
 * written in any order and more than once until they are frozen.
 */
export class FeatureNegotiation {
  readonly #offered: () => bigint;
  readonly #words: TransportWords;
  /** What the words say. */
  #driver: bigint;

  /**
   * @param offered - what the device offers now
   * @param words - where it is kept
   */
  constructor(offered: () => bigint, words: TransportWords) {
    this.#offered = offered;
    this.#words = words;
    this.#driver = wide(words.driverFeaturesLow, words.driverFeaturesHigh);
  }

  get deviceSel(): number {
    return this.#words.deviceFeaturesSel;
  }

  set deviceSel(word: number) {
    this.#words.deviceFeaturesSel = word;
  }

  get driverSel(): number {
    return this.#words.driverFeaturesSel;
  }

  set driverSel(word: number) {
    this.#words.driverFeaturesSel = word;
  }

  /** What the driver has written so far; what was negotiated once FEATURES_OK is set. */
  get driver(): bigint {
    return this.#driver;
  }

  /** DeviceFeatures: the word that DeviceFeaturesSel names, zero past the second. */
  deviceWord(): number {
    if (this.deviceSel > 1) return 0;
    return Number((this.#offered() >> (WORD_BITS * BigInt(this.deviceSel))) & WORD_MASK);
  }

  /** DriverFeatures. Bits past the second word exist in no device and spoil the negotiation. */
  writeDriverWord(value: number): void {
    if (this.driverSel > 1) {
      if (value !== 0) this.#words.featuresBeyond = 1;
      return;
    }
    const shift = WORD_BITS * BigInt(this.driverSel);
    this.#write((this.#driver & ~(WORD_MASK << shift)) | (BigInt(value) << shift));
  }

  /** Why the set cannot be negotiated, or undefined when it can as far as the transport knows. */
  problem(): string | undefined {
    if (this.#words.featuresBeyond !== 0 || (this.#driver & ~this.#offered()) !== 0n) {
      return 'the driver wants features that were not offered';
    }
    if (!hasFeature(this.#driver, VIRTIO_F_VERSION_1)) return 'VIRTIO_F_VERSION_1 is missing';
    return undefined;
  }

  /** Goes on for another: what the driver wrote there. */
  restore(deviceSel: number, driverSel: number, driver: bigint): void {
    this.deviceSel = deviceSel;
    this.driverSel = driverSel;
    this.#write(driver);
  }

  reset(): void {
    this.deviceSel = 0;
    this.driverSel = 0;
    this.#write(0n);
    this.#words.featuresBeyond = 0;
  }

  #write(driver: bigint): void {
    this.#driver = driver;
    this.#words.driverFeaturesLow = Number(driver & WORD_MASK);
    this.#words.driverFeaturesHigh = Number((driver >> WORD_BITS) & WORD_MASK);
  }
}
