import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import { CodedError, DescriptorError, SysError } from '../../src/errors.ts';

interface FrobErrorContext {
  readonly knob?: number;
}

class FrobError extends CodedError<'STUCK' | 'LOOSE', FrobErrorContext> {
  static override readonly brand: string = '@node-vmm/frob/FrobError';
}

class SmallFrobError extends FrobError {
  static override readonly brand = '@node-vmm/frob/SmallFrobError';
}

class OtherFrobError extends CodedError<'STUCK'> {
  static override readonly brand = '@node-vmm/other/FrobError';
}

describe('CodedError', () => {
  it('has code, message, context, cause and the name of its class', () => {
    const cause = new Error('rust');
    const error = new FrobError('STUCK', 'Cannot turn knob 3: stuck', { knob: 3 }, { cause });
    expect(error).toBeInstanceOf(Error);
    expect(error.code).toBe('STUCK');
    expect(error.message).toBe('Cannot turn knob 3: stuck');
    expect(error.context).toEqual({ knob: 3 });
    expect(error.cause).toBe(cause);
    expect(error.name).toBe('FrobError');
    expect(String(error)).toBe('FrobError: Cannot turn knob 3: stuck');
  });

  it('begins its stack with the name of its class, and shows nothing twice', () => {
    const error = new FrobError('STUCK', 'Cannot turn', { knob: 3 });
    expect(error.stack).toMatch(/^FrobError: Cannot turn\n/);
    expect(Object.keys(error)).toEqual(['code', 'context']);
    expect(inspect(error)).toMatch(/ {\n {2}code: 'STUCK',\n {2}context: { knob: 3 }\n}$/);
  });

  it('has an empty context and no cause when nothing is given', () => {
    const error = new FrobError('LOOSE', 'Cannot turn');
    expect(error.context).toEqual({});
    expect('cause' in error).toBe(false);
  });

  it('has the name of its brand when the class was renamed', () => {
    const Renamed = class a extends FrobError {};
    expect(new Renamed('LOOSE', 'Cannot turn').name).toBe('FrobError');
  });

  it('knows the errors of a class, of the classes below it and no others', () => {
    const error = new FrobError('STUCK', 'Cannot turn');
    const small = new SmallFrobError('LOOSE', 'Cannot turn');
    const other = new OtherFrobError('STUCK', 'Cannot turn');
    const is = [FrobError, SmallFrobError, OtherFrobError, CodedError].map((type) =>
      [error, small, other].map((one) => type.is(one)),
    );
    expect(is).toEqual([
      [true, true, false],
      [false, true, false],
      [false, false, true],
      [true, true, true],
    ]);
  });

  it('knows an error by its code too', () => {
    const error: unknown = new FrobError('STUCK', 'Cannot turn');
    expect(FrobError.is(error, 'STUCK')).toBe(true);
    expect(FrobError.is(error, 'LOOSE')).toBe(false);
    // The type is the class's own.
    if (FrobError.is(error)) expect(error.context.knob).toBeUndefined();
  });

  it.each([
    undefined,
    null,
    0,
    'text',
    () => FrobError,
    {},
    Object.create(null),
    { code: 'STUCK' },
    { constructor: undefined },
    new Error('x'),
  ])('is none of %s', (value) => {
    expect(FrobError.is(value)).toBe(false);
  });

  it('knows the errors of another copy of the package', async () => {
    vi.resetModules();
    const copy = await import('../../src/errors.ts');
    const error = new copy.SysError({ syscall: 'open', errno: 2 });
    expect(error).not.toBeInstanceOf(SysError);
    expect(SysError.is(error, 'ENOENT')).toBe(true);
    expect(CodedError.is(error)).toBe(true);
    expect(DescriptorError.is(error)).toBe(false);
  });
});

describe('SysError', () => {
  it('has the call and errno, in its context too', () => {
    const context = { syscall: 'connect', errno: 111, subject: '/run/x.sock' };
    const error = new SysError(context);
    expect(error.message).toBe('connect failed on /run/x.sock: ECONNREFUSED (connection refused)');
    expect([error.code, error.errno, error.syscall]).toEqual(['ECONNREFUSED', 111, 'connect']);
    expect(error.context).toEqual(context);
  });
});

it("is to be had without the foreign function interface, and without Node's standard streams", () => {
  const imported = (file: string): string[] => {
    const text = readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8');
    const specifiers = [...text.matchAll(/from '([^']+)'/g)].map(([, name = '']) => name);
    return specifiers.flatMap((name) => (name.startsWith('./') ? imported(name) : [name]));
  };
  expect(imported('errors.ts')).toEqual([]);
});
