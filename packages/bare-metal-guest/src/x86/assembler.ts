import { type Encoded, encode, type Fixup } from './encode.ts';
import { AssemblyError, type AssemblyErrorCode } from './errors.ts';
import { FORMS, shortJump } from './forms.ts';
import { type Names, parseExpression, parseOperand } from './operands.ts';

/** A program in bytes. */
export interface Assembled {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Name of a label -> its address. */
  readonly labels: ReadonlyMap<string, number>;
}

/** Bytes that stand together, at an address that shows when the jumps have their lengths. */
interface Piece {
  readonly line: number;
  readonly bytes: number[];
  readonly fixups: Fixup[];
  /** Labels that stand before. */
  readonly labels: readonly string[];
  /** The opcode of the short form of a jump, while it may be short. */
  short: number | undefined;
  /** Begins at a multiple of that. */
  readonly align: number;
}

const SHORT_LENGTH = 2;

/**
 * Assembles a program for 32-bit mode. The text is a part of what GNU as takes with `.intel_syntax noprefix`,
 * and the bytes are those that it makes: instructions of {@link FORMS}, labels (numeric ones, `2:`, `2b`,
 * `2f`, too), and the directives `.set`, `.byte`, `.word`, `.long`, `.ascii`, `.asciz`, `.space`, `.balign`.
 *
 * @param origin - address of the first byte
 * @throws {AssemblyError} SYNTAX, NO_ENCODING, UNDEFINED, DEFINED_TWICE
 */
export function assemble(text: string, origin: number): Assembled {
  return new Assembler(text).layout(origin);
}

class Assembler implements Names {
  readonly #pieces: Piece[] = [];
  readonly #constants = new Map<string, number>();
  readonly #known = new Set<string>();
  /** How often each numeric label was there so far. */
  readonly #numeric = new Map<string, number>();
  #waiting: string[] = [];
  #line = 0;

  constructor(text: string) {
    for (const line of text.split('\n')) {
      this.#line++;
      try {
        this.#take(line);
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        throw this.#error('SYNTAX', error.message);
      }
    }
    // Labels at the very end.
    this.#emit({ bytes: [], fixups: [] });
  }

  constant(name: string): number | undefined {
    return this.#constants.get(name);
  }

  label(name: string): string {
    const [, number, direction] = /^(\d)([bf])$/.exec(name) ?? [];
    if (number === undefined) return name;
    const count = this.#numeric.get(number) ?? 0;
    return `${number}#${direction === 'b' ? count : count + 1}`;
  }

  #error(code: AssemblyErrorCode, text: string, line = this.#line): AssemblyError {
    return new AssemblyError(code, `Cannot assemble line ${line}: ${text}`, { line });
  }

  #take(line: string): void {
    let rest = line.replace(/^((?:[^"'#]|"(?:[^"\\]|\\.)*"|'.')*)#.*$/, '$1').trim();
    for (;;) {
      const [all, name] = /^([A-Za-z_]\w*|\d):\s*/.exec(rest) ?? [];
      if (all === undefined || name === undefined) break;
      this.#define(name);
      rest = rest.slice(all.length);
    }
    if (rest === '') return;
    const [, word = '', operands = ''] = /^(\S+)\s*(.*)$/.exec(rest) ?? [];
    if (word.startsWith('.')) this.#directive(word, operands);
    else this.#instruction(word, operands);
  }

  #define(name: string): void {
    let label = name;
    if (/^\d$/.test(name)) {
      const count = (this.#numeric.get(name) ?? 0) + 1;
      this.#numeric.set(name, count);
      label = `${name}#${count}`;
    }
    this.#unused(label);
    this.#waiting.push(label);
  }

  #unused(name: string): void {
    if (this.#known.has(name)) throw this.#error('DEFINED_TWICE', `"${name}" stands twice`);
    this.#known.add(name);
  }

  #instruction(word: string, text: string): void {
    // `rep` and what is repeated are one instruction.
    const prefixed = word === 'rep';
    const mnemonic = prefixed ? `${word} ${text}` : word;
    if (!FORMS.has(mnemonic)) {
      throw this.#error('NO_ENCODING', `there is no instruction "${mnemonic}"`);
    }
    const operands = prefixed ? [] : split(text).map((each) => parseOperand(each, this));
    const encoded = encode(mnemonic, operands);
    if (encoded === undefined) {
      throw this.#error('NO_ENCODING', `"${mnemonic}" does not exist with "${text}"`);
    }
    this.#emit(encoded, shortJump(encoded.encoding));
  }

  #directive(word: string, text: string): void {
    if (word === '.set') {
      const [name = '', value = ''] = split(text);
      this.#unused(name);
      const { value: number, label } = parseExpression(value, this);
      if (label !== undefined) throw this.#error('UNDEFINED', `"${label}" is no constant`);
      this.#constants.set(name, number);
    } else if (word === '.ascii' || word === '.asciz') {
      const bytes = [...new TextEncoder().encode(JSON.parse(text) as string)];
      this.#emit({ bytes: word === '.asciz' ? [...bytes, 0] : bytes, fixups: [] });
    } else if (word === '.space') {
      const bytes = new Array<number>(parseExpression(text, this).value).fill(0);
      this.#emit({ bytes, fixups: [] });
    } else if (word === '.balign') {
      // Labels before it stand before the padding, which is zeros as GNU as makes it only if told so.
      this.#emit({ bytes: [], fixups: [] });
      const [bytes = '', fill] = split(text);
      if (fill !== '0') throw this.#error('SYNTAX', '.balign is to fill with 0');
      this.#emit({ bytes: [], fixups: [] }, undefined, parseExpression(bytes, this).value);
    } else this.#data(word, text);
  }

  #data(word: string, text: string): void {
    const size = { '.byte': 1, '.word': 2, '.long': 4 }[word];
    if (size === undefined) throw this.#error('SYNTAX', `there is no directive "${word}"`);
    for (const each of split(text)) {
      const { value, label } = parseExpression(each, this);
      const bytes = Array.from({ length: size }, (_, i) => (value >> (8 * i)) & 0xff);
      if (label === undefined) this.#emit({ bytes, fixups: [] });
      else {
        if (size !== 4) throw this.#error('SYNTAX', `"${each}" is an address and needs .long`);
        const fixup = { at: 0, label, addend: value, relative: false };
        this.#emit({ bytes: [0, 0, 0, 0], fixups: [fixup] });
      }
    }
  }

  #emit({ bytes, fixups }: Pick<Encoded, 'bytes' | 'fixups'>, short?: number, align = 1): void {
    const labels = this.#waiting;
    this.#waiting = [];
    this.#pieces.push({ line: this.#line, bytes, fixups, labels, short, align });
  }

  /** Jumps are short until one turns out to go too far; no jump becomes short again. */
  layout(origin: number): Assembled {
    for (;;) {
      const { addresses, labels, end } = this.#addresses(origin);
      const grown = this.#pieces.filter((piece, i) => {
        if (piece.short === undefined) return false;
        const from = (addresses[i] ?? 0) + SHORT_LENGTH;
        const distance = this.#target(piece, piece.fixups[0], labels) - from;
        return distance < -128 || distance > 127;
      });
      for (const piece of grown) piece.short = undefined;
      if (grown.length === 0) return this.#fill(origin, end, addresses, labels);
    }
  }

  #addresses(origin: number): {
    addresses: number[];
    labels: Map<string, number>;
    end: number;
  } {
    const labels = new Map<string, number>();
    let at = origin;
    const addresses = this.#pieces.map((piece) => {
      at = Math.ceil(at / piece.align) * piece.align;
      for (const label of piece.labels) labels.set(label, at);
      const address = at;
      at += piece.short === undefined ? piece.bytes.length : SHORT_LENGTH;
      return address;
    });
    return { addresses, labels, end: at };
  }

  #target({ line }: Piece, fixup: Fixup | undefined, labels: Map<string, number>): number {
    const { label = '', addend = 0 } = fixup ?? {};
    const address = labels.get(label);
    if (address === undefined) {
      throw this.#error('UNDEFINED', `"${label.replace(/#.*/, '')}" stands nowhere`, line);
    }
    return address + addend;
  }

  #fill(origin: number, end: number, addresses: number[], labels: Map<string, number>): Assembled {
    const bytes = new Uint8Array(end - origin);
    const view = new DataView(bytes.buffer);
    for (const [i, piece] of this.#pieces.entries()) {
      const address = addresses[i] ?? 0;
      const at = address - origin;
      if (piece.short !== undefined) {
        const distance = this.#target(piece, piece.fixups[0], labels) - address - SHORT_LENGTH;
        bytes.set([piece.short, distance & 0xff], at);
        continue;
      }
      bytes.set(piece.bytes, at);
      for (const fixup of piece.fixups) {
        const from = fixup.relative ? address + fixup.at + 4 : 0;
        view.setUint32(at + fixup.at, this.#target(piece, fixup, labels) - from, true);
      }
    }
    return { bytes, labels };
  }
}

/** At the commas that are not within quotes. */
function split(text: string): string[] {
  return (text.match(/(?:'.'|"(?:[^"\\]|\\.)*"|[^,"'])+/g) ?? []).map((each) => each.trim());
}
