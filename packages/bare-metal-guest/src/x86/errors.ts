import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/** What is wrong with a program. Codes are never renumbered or reused. */
export type AssemblyErrorCode =
  /** What stands there is no label, directive, instruction or operand. */
  | 'SYNTAX'
  /** There is no such instruction, or not with such operands. */
  | 'NO_ENCODING'
  /** A name that is neither a label nor a constant. */
  | 'UNDEFINED'
  /** A name that stands twice. */
  | 'DEFINED_TWICE';

/** Where it is. */
export interface AssemblyErrorContext {
  /** Line of the text, from 1. */
  readonly line: number;
}

/** A program that cannot be assembled. */
export class AssemblyError extends CodedError<AssemblyErrorCode, AssemblyErrorContext> {
  static override readonly brand = '@node-vmm/bare-metal-guest/AssemblyError';
}
