import type { Fd } from '@node-vmm/vmm-sys-util';

// What a device asks the thread of its chip, and what it answers: structured-cloneable.

/** A call of `GpioLines`. */
export type LineRequest =
  | { readonly op: 'isOutput' | 'value' | 'disarm' | 'release'; readonly line: number }
  | {
      readonly op: 'setDirection';
      readonly line: number;
      readonly output: boolean;
      /** What an output begins with. */
      readonly value: number;
    }
  | { readonly op: 'setValue'; readonly line: number; readonly value: number }
  | {
      readonly op: 'arm';
      readonly line: number;
      /** GPIO_V2_LINE_FLAG_EDGE_ bits. */
      readonly edges: bigint;
      /** `line_seqno` of the last event that the device has read. */
      readonly seqno: number;
    };

/** Where edges of an armed line are read. */
export interface ArmedLine {
  /**
   * Stays the thread's, which closes it when the line is given back: the one who asked stops watching
   * before he asks for that. Readable when there are `gpio_v2_line_event`s, hung up when the chip is gone.
   */
  readonly fd: Fd;
  /** `line_seqno` of the last event that is not to be counted. */
  readonly seqno: number;
}

/** Of `isOutput` a boolean, of `value` 0 or 1, of `arm` an armed line. */
export type LineAnswer = boolean | number | ArmedLine | undefined;
