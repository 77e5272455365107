/**
 * Operands as Intel's manual names them (SDM volume 2, 3.1.1.3): `r` a register, `rm` a register or memory, `m`
 * memory of any size, `simm8` a byte that is extended with its sign, `rel` a place in the code, `moffs`
 * memory by its address alone. `al`, `eax`, `cl`, `dx` and `1` are themselves.
 */
export type OperandType =
  | 'r8'
  | 'r16'
  | 'r32'
  | 'rm8'
  | 'rm16'
  | 'rm32'
  | 'm'
  | 'moffs8'
  | 'moffs16'
  | 'moffs32'
  | 'imm8'
  | 'imm16'
  | 'imm32'
  | 'simm8'
  | 'rel'
  | 'al'
  | 'ax'
  | 'eax'
  | 'cl'
  | 'dx'
  | '1';

/**
 * How an instruction is encoded, in the notation of the manual (3.1.1.1): bytes in hexadecimal, `/r` a ModR/M
 * byte of both operands, `/0` to `/7` one with that digit, `+r` the register's number added to the
 * byte before, `ib` `iw` `id` an immediate value, `cd` an address, `rel` of a jump.
 */
export interface Form {
  readonly operands: readonly OperandType[];
  readonly encoding: string;
}

type Row = readonly [operands: string, encoding: string];

/** Group 1 (SDM volume 2, table A-6): eight operations whose encodings differ in a digit. */
const arithmetic = (digit: number): Row[] => {
  const opcode = (low: number): string => (digit * 8 + low).toString(16).padStart(2, '0');
  return [
    ['rm8 r8', `${opcode(0)} /r`],
    ['rm16 r16', `66 ${opcode(1)} /r`],
    ['rm32 r32', `${opcode(1)} /r`],
    ['r8 rm8', `${opcode(2)} /r`],
    ['r16 rm16', `66 ${opcode(3)} /r`],
    ['r32 rm32', `${opcode(3)} /r`],
    ['al imm8', `${opcode(4)} ib`],
    ['rm8 imm8', `80 /${digit} ib`],
    ['rm16 simm8', `66 83 /${digit} ib`],
    ['rm32 simm8', `83 /${digit} ib`],
    ['ax imm16', `66 ${opcode(5)} iw`],
    ['rm16 imm16', `66 81 /${digit} iw`],
    ['eax imm32', `${opcode(5)} id`],
    ['rm32 imm32', `81 /${digit} id`],
  ];
};

/** Group 2. */
const shift = (digit: number): Row[] => [
  ['rm8 1', `d0 /${digit}`],
  ['rm32 1', `d1 /${digit}`],
  ['rm8 cl', `d2 /${digit}`],
  ['rm32 cl', `d3 /${digit}`],
  ['rm8 imm8', `c0 /${digit} ib`],
  ['rm32 imm8', `c1 /${digit} ib`],
];

/** Group 3. */
const unary = (digit: number): Row[] => [
  ['rm8', `f6 /${digit}`],
  ['rm32', `f7 /${digit}`],
];

const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge'];
const ALL_CONDITIONS = [...CONDITIONS, 'le', 'g'].map((name, i) => [name, i] as const);
/** Other names of conditions. */
const ALIASES = [
  ['c', 2],
  ['nc', 3],
  ['z', 4],
  ['nz', 5],
] as const;

const ROWS: Readonly<Record<string, readonly Row[]>> = {
  mov: [
    ['al moffs8', 'a0 cd'],
    ['eax moffs32', 'a1 cd'],
    ['ax moffs16', '66 a1 cd'],
    ['moffs8 al', 'a2 cd'],
    ['moffs16 ax', '66 a3 cd'],
    ['moffs32 eax', 'a3 cd'],
    ['rm8 r8', '88 /r'],
    ['rm16 r16', '66 89 /r'],
    ['rm32 r32', '89 /r'],
    ['r8 rm8', '8a /r'],
    ['r16 rm16', '66 8b /r'],
    ['r32 rm32', '8b /r'],
    ['r8 imm8', 'b0+r ib'],
    ['r16 imm16', '66 b8+r iw'],
    ['r32 imm32', 'b8+r id'],
    ['rm8 imm8', 'c6 /0 ib'],
    ['rm16 imm16', '66 c7 /0 iw'],
    ['rm32 imm32', 'c7 /0 id'],
  ],
  movzx: [
    ['r32 rm8', '0f b6 /r'],
    ['r32 rm16', '0f b7 /r'],
  ],
  lea: [['r32 m', '8d /r']],
  add: arithmetic(0),
  or: arithmetic(1),
  adc: arithmetic(2),
  sbb: arithmetic(3),
  and: arithmetic(4),
  sub: arithmetic(5),
  xor: arithmetic(6),
  cmp: arithmetic(7),
  test: [
    ['rm8 r8', '84 /r'],
    ['rm32 r32', '85 /r'],
    ['al imm8', 'a8 ib'],
    ['eax imm32', 'a9 id'],
    ['rm8 imm8', 'f6 /0 ib'],
    ['rm32 imm32', 'f7 /0 id'],
  ],
  rol: shift(0),
  ror: shift(1),
  shl: shift(4),
  shr: shift(5),
  sar: shift(7),
  not: unary(2),
  neg: unary(3),
  mul: unary(4),
  div: unary(6),
  imul: [
    ['r32 rm32 simm8', '6b /r ib'],
    ['r32 rm32 imm32', '69 /r id'],
    ['r32 rm32', '0f af /r'],
  ],
  inc: [
    ['r16', '66 40+r'],
    ['r32', '40+r'],
    ['rm8', 'fe /0'],
    ['rm16', '66 ff /0'],
    ['rm32', 'ff /0'],
  ],
  dec: [
    ['r16', '66 48+r'],
    ['r32', '48+r'],
    ['rm8', 'fe /1'],
    ['rm16', '66 ff /1'],
    ['rm32', 'ff /1'],
  ],
  push: [
    ['r32', '50+r'],
    ['simm8', '6a ib'],
    ['imm32', '68 id'],
    ['rm32', 'ff /6'],
  ],
  pop: [
    ['r32', '58+r'],
    ['rm32', '8f /0'],
  ],
  pushad: [['', '60']],
  popad: [['', '61']],
  call: [
    ['rel', 'e8 cd'],
    ['rm32', 'ff /2'],
  ],
  jmp: [
    ['rel', 'e9 cd'],
    ['rm32', 'ff /4'],
  ],
  ret: [['', 'c3']],
  in: [
    ['al imm8', 'e4 ib'],
    ['eax imm8', 'e5 ib'],
    ['al dx', 'ec'],
    ['eax dx', 'ed'],
  ],
  out: [
    ['imm8 al', 'e6 ib'],
    ['imm8 eax', 'e7 ib'],
    ['dx al', 'ee'],
    ['dx eax', 'ef'],
  ],
  'rep movsb': [['', 'f3 a4']],
  'rep movsd': [['', 'f3 a5']],
  'rep stosb': [['', 'f3 aa']],
  'rep stosd': [['', 'f3 ab']],
  lgdt: [['m', '0f 01 /2']],
  lidt: [['m', '0f 01 /3']],
  cld: [['', 'fc']],
  cli: [['', 'fa']],
  sti: [['', 'fb']],
  hlt: [['', 'f4']],
  nop: [['', '90']],
  pause: [['', 'f3 90']],
};

const toForm = ([operands, encoding]: Row): Form => ({
  operands: operands.split(' ').filter(Boolean) as OperandType[],
  encoding,
});

/** Mnemonic -> its forms; of those that fit, the first is taken, as GNU as does. */
export const FORMS: ReadonlyMap<string, readonly Form[]> = new Map<string, readonly Form[]>([
  ...Object.entries(ROWS).map(([name, rows]) => [name, rows.map(toForm)] as const),
  ...[...ALL_CONDITIONS, ...ALIASES].map(([name, code]) => {
    const encoding = `0f ${(0x80 + code).toString(16)} cd`;
    return [`j${name}`, [toForm(['rel', encoding])]] as const;
  }),
]);

/**
 * The short form of a jump's encoding, with a distance of one byte; undefined for what has none.
 *
 * @param encoding - of a form
 */
export function shortJump(encoding: string): number | undefined {
  if (encoding === 'e9 cd') return 0xeb;
  const condition = /^0f 8([0-9a-f]) cd$/.exec(encoding);
  return condition === null ? undefined : 0x70 + Number.parseInt(condition[1] ?? '', 16);
}
