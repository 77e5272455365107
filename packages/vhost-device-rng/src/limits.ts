/** The longest period of a quota and the one without another wish, milliseconds, as rust-vmm's daemon has it. */
export const RNG_PERIOD_MS = 65_536;

/** How much a guest may have. */
export interface RngLimits {
  /** Most bytes in a period, >= 1, default without limit. */
  readonly maxBytes?: number;
  /** Milliseconds, 1..{@link RNG_PERIOD_MS}, default the most. */
  readonly period?: number;
}
