import { describe, expect, it } from 'vitest';
import { AssemblyError, assemble } from '../../src/index.ts';
import { FORMS, type OperandType } from '../../src/x86/forms.ts';
import { gnuAssemble, unavailable } from '../fixtures/gnu-as.ts';

const ORIGIN = 0x10_0000;
const ADDRESSES = [
  'ebx',
  'esp',
  'ebp',
  'ebx + 4',
  'esp + 8',
  'ebp - 128',
  'edi + 0x12345678',
  'eax + ecx*4',
  'ebp + edx*2 + 128',
  'esi*8 + 16',
  'ecx + edx + 1',
  'edi + place',
  'place + 4 + ecx*4',
  'place',
  '0xfee000f0',
];
const memory = (size: string): string[] => ADDRESSES.map((each) => `${size} ptr [${each}]`);

/** What stands in the text for a type of operand. */
const EXAMPLES: Readonly<Record<OperandType, readonly string[]>> = {
  r8: ['al', 'cl', 'ah', 'bh'],
  r16: ['ax', 'dx', 'di'],
  r32: ['eax', 'ecx', 'esp', 'ebp', 'edi'],
  rm8: ['cl', 'dh', ...memory('byte')],
  rm16: ['cx', 'ax', ...memory('word')],
  rm32: ['edx', 'eax', ...memory('dword')],
  m: ADDRESSES.map((each) => `[${each}]`),
  moffs8: ['byte ptr [place]'],
  moffs16: ['word ptr [place]'],
  moffs32: ['[place + 8]', 'dword ptr [0x1234]'],
  imm8: ['0', '1', '0x7f', '0x80', '0xff', '-128', "'x'", 'VALUE'],
  imm16: ['0x7fff', '0x1234', '0xff00'],
  imm32: ['0', '128', '-129', '0xffffffff', '0x80000000', 'offset place', 'offset place + 4'],
  simm8: ['0', '-1', '127', '-128'],
  rel: ['place', 'begin'],
  al: ['al'],
  ax: ['ax'],
  eax: ['eax'],
  cl: ['cl'],
  dx: ['dx'],
  1: ['1'],
};

/** Every combination that the processor has: of memory there is one at most. */
function combinations(types: readonly OperandType[]): string[] {
  const all = types.reduce<string[][]>(
    (rows, type) => rows.flatMap((row) => EXAMPLES[type].map((each) => [...row, each])),
    [[]],
  );
  return all.map((row) => row.join(', '));
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const error = (text: string): unknown => {
  try {
    return assemble(text, ORIGIN);
  } catch (thrown) {
    return AssemblyError.is(thrown) ? `${thrown.code} ${thrown.context.line}` : thrown;
  }
};

describe.skipIf(unavailable)(
  `the assembler's bytes ${unavailable ?? 'are those of GNU as'}`,
  () => {
    it.each([...FORMS])('%s', (mnemonic, forms) => {
      const lines = forms
        .flatMap(({ operands }) => combinations(operands))
        .map((operands) => `${mnemonic} ${operands}`);
      const text = ['.set VALUE, 5', 'begin:', ...lines, '.space 200', 'place:', 'nop'].join('\n');
      expect(hex(assemble(text, ORIGIN).bytes)).toBe(hex(gnuAssemble(text, ORIGIN)));
    });

    it('directives and labels', () => {
      const text = `
      .set SIZE, 8 # bytes
      start: .byte 1, 2, 'a', ',', -1, SIZE
      .word 0x1234, SIZE + 1
      2: .long 5, start, end - 4, 2b, 2f
      .ascii "a # b\\n"
      last: .balign 16, 0
      2: 3: .asciz "\\"quoted\\""
      .space SIZE + 2
      jmp 3b
      jmp last
      end:`;
      expect(hex(assemble(text, ORIGIN).bytes)).toBe(hex(gnuAssemble(text, ORIGIN)));
    });

    it('jumps are as short as they can be, also where one makes another longer', () => {
      const chains = Array.from({ length: 40 }, (_, i) => `at${i}: jne at${(i * 7 + 11) % 40}`);
      const text = [...chains, 'jmp behind', '.space 127', 'behind: jmp far_away', '.space 128']
        .concat('far_away: jmp behind', 'call behind')
        .join('\n.space 3\n');
      expect(hex(assemble(text, ORIGIN).bytes)).toBe(hex(gnuAssemble(text, ORIGIN)));
    });
  },
);

describe('what cannot be assembled', () => {
  it.each([
    ['\nfrobnicate eax', 'NO_ENCODING 2'],
    ['mov eax, bl', 'NO_ENCODING 1'],
    ['mov [eax], 5', 'NO_ENCODING 1'],
    ['mov [eax], [ebx]', 'NO_ENCODING 1'],
    ['add al, 0x100', 'NO_ENCODING 1'],
    ['rep nop', 'NO_ENCODING 1'],
    ['nop\njmp nowhere', 'UNDEFINED 2'],
    ['jmp 2b', 'UNDEFINED 1'],
    ['.set A, B', 'UNDEFINED 1'],
    ['a:\na:', 'DEFINED_TWICE 2'],
    ['.set a, 1\na: nop', 'DEFINED_TWICE 2'],
    ['mov eax, [esp*2]', 'SYNTAX 1'],
    ['mov eax, [ebx + eax*3]', 'SYNTAX 1'],
    ['mov eax, [ebx - ecx]', 'SYNTAX 1'],
    ['mov eax, 0x100000000', 'SYNTAX 1'],
    ['mov eax, 5 5', 'SYNTAX 1'],
    ['mov eax, 5 - begin', 'SYNTAX 1'],
    ['mov eax, begin + begin', 'SYNTAX 1'],
    ['mov eax, ', 'NO_ENCODING 1'],
    ['.word begin', 'SYNTAX 1'],
    ['.quad 1', 'SYNTAX 1'],
    ['.balign 16', 'SYNTAX 1'],
    ['.asciz what', 'SYNTAX 1'],
  ])('%j is %s', (text, expected) => {
    expect(error(text)).toBe(expected);
  });

  it('the message names line and text', () => {
    expect(() => assemble('nop\nmov eax, bl', 0)).toThrow(
      'Cannot assemble line 2: "mov" does not exist with "eax, bl"',
    );
  });
});

it('labels have their addresses', () => {
  const { labels, bytes } = assemble('nop\nhere: .long here', ORIGIN);
  expect(labels.get('here')).toBe(ORIGIN + 1);
  expect(hex(bytes)).toBe('9001001000');
});
