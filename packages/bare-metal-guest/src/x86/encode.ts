import { FORMS, type Form, type OperandType } from './forms.ts';
import type { Expression, Memory, Operand } from './operands.ts';

/** A label's address that is still to be filled in, 32 bits. */
export interface Fixup {
  /** Offset in the bytes. */
  readonly at: number;
  readonly label: string;
  /** Is added to the address. */
  readonly addend: number;
  /** The distance from behind the four bytes, and not the address. */
  readonly relative: boolean;
}

/** An instruction in bytes. */
export interface Encoded {
  readonly bytes: number[];
  readonly fixups: Fixup[];
  readonly encoding: string;
}

const isByte = ({ label, value }: Expression): boolean =>
  label === undefined && value >= -128 && value <= 127;

const isRegister = (operand: Operand, size: number, number?: number): boolean =>
  operand.kind === 'register' &&
  operand.size === size &&
  (number === undefined || operand.number === number);

/** Memory whose size the text does not say has that of the register beside it. */
const isPlace = (operand: Operand, size: number, others: readonly Operand[]): boolean =>
  isRegister(operand, size) ||
  (operand.kind === 'memory' &&
    (operand.size === size ||
      (operand.size === undefined && others.some((other) => isRegister(other, size)))));

const isOffset = (operand: Operand): boolean =>
  operand.kind === 'memory' && operand.base === undefined && operand.index === undefined;

const isImmediate = (operand: Operand, low: number, high: number): boolean =>
  operand.kind === 'immediate' &&
  operand.expression.label === undefined &&
  operand.expression.value >= low &&
  operand.expression.value <= high;

const FITS: Readonly<
  Record<OperandType, (operand: Operand, others: readonly Operand[]) => boolean>
> = {
  r8: (operand) => isRegister(operand, 8),
  r16: (operand) => isRegister(operand, 16),
  r32: (operand) => isRegister(operand, 32),
  rm8: (operand, others) => isPlace(operand, 8, others),
  rm16: (operand, others) => isPlace(operand, 16, others),
  rm32: (operand, others) => isPlace(operand, 32, others),
  m: ({ kind }) => kind === 'memory',
  moffs8: (operand, others) => isOffset(operand) && isPlace(operand, 8, others),
  moffs16: (operand, others) => isOffset(operand) && isPlace(operand, 16, others),
  moffs32: (operand, others) => isOffset(operand) && isPlace(operand, 32, others),
  imm8: (operand) => isImmediate(operand, -128, 0xff),
  imm16: (operand) => isImmediate(operand, -0x8000, 0xffff),
  imm32: ({ kind }) => kind === 'immediate',
  simm8: (operand) => operand.kind === 'immediate' && isByte(operand.expression),
  rel: (operand) => operand.kind === 'immediate' && operand.expression.label !== undefined,
  al: (operand) => isRegister(operand, 8, 0),
  ax: (operand) => isRegister(operand, 16, 0),
  eax: (operand) => isRegister(operand, 32, 0),
  cl: (operand) => isRegister(operand, 8, 1),
  dx: (operand) => isRegister(operand, 16, 2),
  1: (operand) => isImmediate(operand, 1, 1),
};

/** The bytes of an instruction; undefined when no form fits. */
export function encode(mnemonic: string, operands: readonly Operand[]): Encoded | undefined {
  const form = FORMS.get(mnemonic)?.find(
    (candidate) =>
      candidate.operands.length === operands.length &&
      operands.every((operand, i) => {
        const type = candidate.operands[i];
        return type !== undefined && FITS[type](operand, operands.toSpliced(i, 1));
      }),
  );
  return form && new Encoder(form, operands).encode();
}

class Encoder {
  readonly #form: Form;
  readonly #operands: readonly Operand[];
  readonly #bytes: number[] = [];
  readonly #fixups: Fixup[] = [];

  constructor(form: Form, operands: readonly Operand[]) {
    this.#form = form;
    this.#operands = operands;
  }

  encode(): Encoded {
    const { encoding } = this.#form;
    for (const part of encoding.split(' ')) this.#part(part);
    return { bytes: this.#bytes, fixups: this.#fixups, encoding };
  }

  #part(part: string): void {
    if (part === '/r') this.#modrm(this.#register());
    else if (part.startsWith('/')) this.#modrm(Number(part[1]));
    else if (part === 'ib') this.#number(this.#immediate().value, 1);
    else if (part === 'iw') this.#number(this.#immediate().value, 2);
    else if (part === 'id') this.#address(this.#immediate(), false);
    else if (part === 'cd') this.#place();
    else if (part.endsWith('+r')) {
      this.#bytes.push(Number.parseInt(part, 16) + this.#register());
    } else this.#bytes.push(Number.parseInt(part, 16));
  }

  /** The operand whose type begins so. */
  #operand(type: RegExp): Operand | undefined {
    return this.#operands[this.#form.operands.findIndex((each) => type.test(each))];
  }

  #register(): number {
    const operand = this.#operand(/^r\d/);
    return operand?.kind === 'register' ? operand.number : 0;
  }

  #immediate(): Expression {
    const operand = this.#operand(/^s?imm/);
    return operand?.kind === 'immediate' ? operand.expression : { value: 0 };
  }

  /** Where a jump goes, or the address of `moffs`. */
  #place(): void {
    const operand = this.#operand(/^(rel|moffs)/);
    if (operand?.kind === 'memory') this.#address(operand.displacement, false);
    else if (operand?.kind === 'immediate') this.#address(operand.expression, true);
  }

  #number(value: number, bytes: number): void {
    for (let i = 0; i < bytes; i++) this.#bytes.push((value >> (8 * i)) & 0xff);
  }

  #address({ value, label }: Expression, relative: boolean): void {
    if (label !== undefined) {
      this.#fixups.push({ at: this.#bytes.length, label, addend: value, relative });
    }
    this.#number(label === undefined ? value : 0, 4);
  }

  /** SDM volume 2, table 2-2. */
  #modrm(reg: number): void {
    const operand = this.#operand(/^r?m(\d|$)/);
    if (operand?.kind === 'register') this.#bytes.push(0xc0 | (reg << 3) | operand.number);
    else if (operand?.kind === 'memory') this.#memory(reg, operand);
  }

  /** With a SIB byte, table 2-3, where there is an index or the base is ESP. */
  #memory(reg: number, { base, index, scale, displacement }: Memory): void {
    const withSib = index !== undefined || base === 4;
    // Without a base there are always 32 bits, and with EBP at least 8.
    const small = isByte(displacement);
    const none = small && displacement.value === 0 && base !== 5;
    const mod = base === undefined || none ? 0 : small ? 1 : 2;
    const rm = withSib ? 4 : (base ?? 5);
    this.#bytes.push((mod << 6) | (reg << 3) | rm);
    if (withSib) this.#bytes.push((scale << 6) | ((index ?? 4) << 3) | (base ?? 5));
    if (base === undefined || mod === 2) this.#address(displacement, false);
    else if (mod === 1) this.#number(displacement.value, 1);
  }
}
