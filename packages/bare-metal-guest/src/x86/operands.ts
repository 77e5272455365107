/** Operands and expressions of the text, and what is wrong with them as SyntaxError. */

/** A number, and the label to whose address it is added. */
export interface Expression {
  readonly value: number;
  readonly label?: string;
}

/** A general register. */
export interface Register {
  readonly kind: 'register';
  readonly size: 8 | 16 | 32;
  /** As it is encoded, 0 to 7. */
  readonly number: number;
}

/** What is in memory. */
export interface Memory {
  readonly kind: 'memory';
  /** Bits; absent where the text does not say. */
  readonly size?: 8 | 16 | 32;
  readonly base?: number;
  readonly index?: number;
  /** Exponent of two. */
  readonly scale: number;
  readonly displacement: Expression;
}

/** A value in the instruction. */
export interface Immediate {
  readonly kind: 'immediate';
  readonly expression: Expression;
}

/** What an instruction has to do with. */
export type Operand = Register | Memory | Immediate;

/** What names stand for. */
export interface Names {
  constant(name: string): number | undefined;
  /** The label that is meant: a numeric one has many places. */
  label(name: string): string;
}

const NAMES = {
  8: ['al', 'cl', 'dl', 'bl', 'ah', 'ch', 'dh', 'bh'],
  16: ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'],
  32: ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'],
} as const;
const REGISTERS = new Map<string, Register>(
  ([8, 16, 32] as const).flatMap((size) =>
    NAMES[size].map((name, number) => [name, { kind: 'register', size, number }] as const),
  ),
);
const SIZES = new Map([
  ['byte', 8],
  ['word', 16],
  ['dword', 32],
] as const);
const NUMBER = /^(0x[0-9a-f]+|\d+)$/i;
const CHARACTER = /^'(.)'$/;
/** A name, or a numeric label with its direction. */
const NAME = /^([A-Za-z_][\w]*|\d[bf])$/;

/** A sum of numbers, characters, constants and at most one label. */
export function parseExpression(text: string, names: Names): Expression {
  let value = 0;
  let label: string | undefined;
  const terms = text.match(/[-+]?\s*('.'|[^-+\s]+)\s*/g) ?? [];
  const signed = terms.slice(1).every((term) => /^[-+]/.test(term));
  if (terms.length === 0 || !signed || terms.join('').trim() !== text.trim()) {
    throw new SyntaxError(`"${text}" is no value`);
  }
  for (const written of terms) {
    const negative = written.startsWith('-');
    const term = written.replace(/^[-+]/, '').trim();
    const number = parseTerm(term, names);
    if (number !== undefined) value += negative ? -number : number;
    else if (negative || label !== undefined) throw new SyntaxError(`"${text}" is no address`);
    else label = names.label(term);
  }
  return { value: value | 0, ...(label === undefined ? {} : { label }) };
}

function parseTerm(term: string, names: Names): number | undefined {
  if (NUMBER.test(term)) {
    const number = Number(term);
    if (number > 0xffff_ffff) throw new SyntaxError(`"${term}" has more than 32 bits`);
    return number;
  }
  const character = CHARACTER.exec(term)?.[1];
  if (character !== undefined) return character.charCodeAt(0);
  if (!NAME.test(term)) throw new SyntaxError(`"${term}" is neither a number nor a name`);
  return names.constant(term);
}

/** `eax`, `dword ptr [ebx + ecx*4 + 8]`, `offset label`, `5`. */
export function parseOperand(text: string, names: Names): Operand {
  const register = REGISTERS.get(text);
  if (register !== undefined) return register;
  const memory = /^(?:(byte|word|dword)\s+ptr\s+)?\[([^\]]+)\]$/.exec(text);
  if (memory !== null) {
    const size = SIZES.get(memory[1] as 'byte');
    const parts = parseAddress(memory[2] ?? '', names);
    return { kind: 'memory', ...(size === undefined ? {} : { size }), ...parts };
  }
  const expression = parseExpression(text.replace(/^offset\s+/, ''), names);
  return { kind: 'immediate', expression };
}

function parseAddress(text: string, names: Names): Omit<Memory, 'kind' | 'size'> {
  let base: number | undefined;
  let index: number | undefined;
  let scale = 0;
  const rest: string[] = [];
  for (const term of text.split(/(?=[-+])/)) {
    const [, sign, name = '', factor] =
      /^([-+]?)\s*(\w+)\s*(?:\*\s*([1248]))?\s*$/.exec(term) ?? [];
    const register = REGISTERS.get(name);
    if (register?.size !== 32) {
      rest.push(term);
      continue;
    }
    if (sign === '-') throw new SyntaxError(`"${text}" is no address`);
    if (factor === undefined && base === undefined) base = register.number;
    else if (index === undefined && register.number !== 4) {
      index = register.number;
      scale = Math.log2(Number(factor ?? 1));
    } else throw new SyntaxError(`"${text}" is no address`);
  }
  const displacement = rest.length === 0 ? { value: 0 } : parseExpression(rest.join(''), names);
  return {
    ...(base === undefined ? {} : { base }),
    ...(index === undefined ? {} : { index }),
    scale,
    displacement,
  };
}
