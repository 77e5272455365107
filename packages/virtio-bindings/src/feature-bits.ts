// VIRTIO 1.3 §2.2 "Feature Bits": words of 64 bits here; bits are given by their numbers.

/** True when bit `bit` is set in a 64-bit feature word (§2.2). */
export function hasFeature(features: bigint, bit: number): boolean {
  return ((features >> BigInt(bit)) & 1n) === 1n;
}

/** The feature word with the given bits set (§2.2). */
export function featureWord(...bits: readonly number[]): bigint {
  return bits.reduce((word, bit) => word | (1n << BigInt(bit)), 0n);
}
