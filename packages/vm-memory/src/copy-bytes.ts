// Up to this many bytes a loop beats `subarray` and `set`.
const LOOP_LIMIT = 16;

/**
 * Copies `count` bytes between arrays; the caller has checked both ranges.
 */
export function copyBytes(
  source: Uint8Array,
  sourceOffset: number,
  target: Uint8Array,
  targetOffset: number,
  count: number,
): void {
  if (count <= LOOP_LIMIT) {
    for (let i = 0; i < count; i++) target[targetOffset + i] = source[sourceOffset + i] as number;
  } else if (count === source.length) {
    target.set(source, targetOffset);
  } else {
    target.set(source.subarray(sourceOffset, sourceOffset + count), targetOffset);
  }
}
