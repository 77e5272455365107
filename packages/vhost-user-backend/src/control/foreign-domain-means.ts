/** What a `ForeignDomain` needs. */
export interface ForeignDomainMeans {
  /** Most bytes that stay mapped though nobody has them on loan. */
  readonly limit: number;
  /** Numbers that no memory had before. */
  nextMemory(): number;
  /** Mappings that there are of all domains. */
  mappings(): number;
  /** Resolves when more may be mapped: what was before, and somebody may still look at, has room, too. */
  room(): Promise<void>;
  /** Maps for this domain when it is its turn; undefined when nobody wants it by then. */
  turn<T>(job: () => Promise<T>, wanted: () => boolean): Promise<T | undefined>;
  /** Some of what waits for its turn may not be wanted any more. */
  sweep(): void;
  /** The pages are let go of, and nobody finds the addresses: they are freed when nobody looks there. */
  retire(memory: number, close: () => void): void;
}
