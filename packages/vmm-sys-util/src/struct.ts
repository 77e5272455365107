import { endianness } from 'node:os';

const HOST_IS_LITTLE_ENDIAN = endianness() === 'LE';

type NumberKind = 'u8' | 'u16' | 'u32' | 'i32';
type BigKind = 'u64' | 'i64';

interface FieldBase<Offset extends number> {
  readonly offset: Offset;
  readonly size: number;
  readonly littleEndian: boolean;
}
export interface NumberField extends FieldBase<number> {
  readonly kind: NumberKind;
}
export interface BigField extends FieldBase<number> {
  readonly kind: BigKind;
}
export interface BytesField extends FieldBase<number> {
  readonly kind: 'bytes';
}
export type Field = NumberField | BigField | BytesField;
export type Fields = Readonly<Record<string, Field>>;

/** The value of a struct as an object: `number` up to 32 bits, `bigint` for 64, bytes as a copy. */
export type Values<F extends Fields> = {
  -readonly [K in keyof F]: F[K] extends NumberField
    ? number
    : F[K] extends BigField
      ? bigint
      : Uint8Array;
};
type NumberKeys<F extends Fields> = {
  [K in keyof F]: F[K] extends NumberField ? K : never;
}[keyof F];
type BigKeys<F extends Fields> = { [K in keyof F]: F[K] extends BigField ? K : never }[keyof F];

const number =
  (kind: NumberKind, size: number, littleEndian: boolean) =>
  (offset: number): NumberField => ({ kind, size, offset, littleEndian });
const big =
  (kind: BigKind, littleEndian: boolean) =>
  (offset: number): BigField => ({ kind, size: 8, offset, littleEndian });

/** Field constructors: the argument is the byte offset. `le` is little endian, without it native. */
export const u8 = number('u8', 1, true);
export const u16 = number('u16', 2, HOST_IS_LITTLE_ENDIAN);
export const u32 = number('u32', 4, HOST_IS_LITTLE_ENDIAN);
export const i32 = number('i32', 4, HOST_IS_LITTLE_ENDIAN);
export const u64 = big('u64', HOST_IS_LITTLE_ENDIAN);
export const i64 = big('i64', HOST_IS_LITTLE_ENDIAN);
export const u16le = number('u16', 2, true);
export const u32le = number('u32', 4, true);
export const u64le = big('u64', true);
/** A fixed run of bytes (array, padding with meaning, nested struct). */
export const bytes = (offset: number, size: number): BytesField => ({
  kind: 'bytes',
  size,
  offset,
  littleEndian: true,
});

function readField(field: Field, view: DataView, base: number): number | bigint | Uint8Array {
  const at = base + field.offset;
  const le = field.littleEndian;
  switch (field.kind) {
    case 'u8':
      return view.getUint8(at);
    case 'u16':
      return view.getUint16(at, le);
    case 'u32':
      return view.getUint32(at, le);
    case 'i32':
      return view.getInt32(at, le);
    case 'u64':
      return view.getBigUint64(at, le);
    case 'i64':
      return view.getBigInt64(at, le);
    case 'bytes':
      return new Uint8Array(view.buffer, view.byteOffset + at, field.size).slice();
  }
}

function writeField(field: Field, view: DataView, base: number, value: unknown): void {
  const at = base + field.offset;
  const le = field.littleEndian;
  switch (field.kind) {
    case 'u8':
      view.setUint8(at, value as number);
      break;
    case 'u16':
      view.setUint16(at, value as number, le);
      break;
    case 'u32':
      view.setUint32(at, value as number, le);
      break;
    case 'i32':
      view.setInt32(at, value as number, le);
      break;
    case 'u64':
      view.setBigUint64(at, value as bigint, le);
      break;
    case 'i64':
      view.setBigInt64(at, value as bigint, le);
      break;
    case 'bytes': {
      const source = value as Uint8Array;
      if (source.length > field.size) {
        throw new RangeError(
          `bytes field expected at most ${field.size} bytes, got ${source.length}`,
        );
      }
      const target = new Uint8Array(view.buffer, view.byteOffset + at, field.size);
      target.fill(0);
      target.set(source);
    }
  }
}

/**
 * The layout of a C struct or wire message: one table from which size, offsets and codecs follow.
 * Tables are compared with the real headers by the golden ABI test, so field names are the C names.
 */
export class Struct<F extends Fields> {
  readonly name: string;
  readonly fields: F;
  /** Size in bytes, tail padding included. */
  readonly SIZE: number;
  /** Byte offset of each field. */
  readonly OFFSETS: { readonly [K in keyof F]: number };

  constructor(name: string, fields: F, size: number) {
    this.name = name;
    this.fields = fields;
    this.SIZE = size;
    this.OFFSETS = Object.fromEntries(
      Object.entries(fields).map(([key, field]) => [key, field.offset]),
    ) as { [K in keyof F]: number };
  }

  /** Decodes the struct at `base` into a fresh object. */
  read(view: DataView, base = 0): Values<F> {
    const out: Record<string, unknown> = {};
    for (const key in this.fields) out[key] = readField(this.fields[key] as Field, view, base);
    return out as Values<F>;
  }

  /** Encodes the given fields at `base`; the others keep their bytes. */
  write(view: DataView, base: number, values: Partial<Values<F>>): void {
    for (const key in values) {
      const field = this.fields[key];
      if (field === undefined) throw new TypeError(`struct ${this.name} has no field "${key}"`);
      writeField(field, view, base, values[key]);
    }
  }

  /** Encodes into fresh bytes of `SIZE` length; fields not given are zero. */
  encode(values: Partial<Values<F>>): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(this.SIZE);
    this.write(new DataView(out.buffer), 0, values);
    return out;
  }

  /** Decodes from bytes. */
  decode(source: Uint8Array): Values<F> {
    return this.read(new DataView(source.buffer, source.byteOffset, source.byteLength));
  }

  /** Reads one field of up to 32 bits. */
  get(view: DataView, base: number, key: NumberKeys<F>): number {
    return readField(this.fields[key] as Field, view, base) as number;
  }

  /** Reads one 64-bit field. */
  getBig(view: DataView, base: number, key: BigKeys<F>): bigint {
    return readField(this.fields[key] as Field, view, base) as bigint;
  }

  /** Writes one field. */
  set<K extends keyof F>(view: DataView, base: number, key: K, value: Values<F>[K]): void {
    writeField(this.fields[key] as Field, view, base, value);
  }
}

/**
 * Declares a struct. Offsets are written out and checked once, here: fields must not overlap and
 * must fit the size. Unions are declared as one table per variant.
 *
 * @throws {RangeError} when fields overlap or exceed `size`
 */
export function struct<const F extends Fields>(
  name: string,
  fields: F,
  options: { readonly size: number },
): Struct<F> {
  let end = 0;
  const sorted = Object.entries(fields).sort(([, a], [, b]) => a.offset - b.offset);
  for (const [key, field] of sorted) {
    if (field.offset < end) throw new RangeError(`struct ${name}: field "${key}" overlaps another`);
    end = field.offset + field.size;
  }
  if (end > options.size) {
    throw new RangeError(`struct ${name}: fields end at ${end}, over its size ${options.size}`);
  }
  return new Struct(name, fields, options.size);
}
