import { makeAll, orClose } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';

describe('Things that are made together', () => {
  const thing = (name: string, closed: string[]): Disposable => ({
    [Symbol.dispose]: () => closed.push(name),
  });

  it('are all there, under their names', () => {
    const closed: string[] = [];
    const [a, b] = [thing('a', closed), thing('b', closed)];
    expect(makeAll({ a: () => a, b: () => b })).toEqual({ a, b });
    expect(closed).toEqual([]);
  });

  it('are none when one cannot be made', () => {
    const closed: string[] = [];
    const make = (name: string) => (): Disposable => thing(name, closed);
    const fail = (): Disposable => {
      throw new Error('no more');
    };
    expect(() => makeAll({ a: make('a'), b: make('b'), c: fail, d: make('d') })).toThrow('no more');
    expect(closed).toEqual(['a', 'b']);
  });

  it('are closed when what they are for fails, and not otherwise', () => {
    const closed: string[] = [];
    const made = { a: thing('a', closed), b: thing('b', closed) };
    expect(orClose(made, () => 5)).toBe(5);
    expect(closed).toEqual([]);
    const fail = (): never => {
      throw new Error('of no use');
    };
    expect(() => orClose(made, fail)).toThrow('of no use');
    expect(closed).toEqual(['a', 'b']);
  });
});
