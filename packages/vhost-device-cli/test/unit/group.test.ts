import { afterEach, describe, expect, it } from 'vitest';
import { findGroup } from '../../src/group.ts';

const { PATH } = process.env;
afterEach(() => {
  process.env['PATH'] = PATH;
});

describe('findGroup', () => {
  it.each([
    ['root', 0],
    ['0', 0],
    ['4294967294', 4_294_967_294],
    ['4294967295', undefined],
    ['-1', undefined],
    ['', undefined],
    ['no-such-group', undefined],
    ['root:x', undefined],
  ])('%s is %s', (text, gid) => expect(findGroup(text)).toBe(gid));

  it('reads /etc/group where there is no getent', () => {
    process.env['PATH'] = '/nowhere';
    expect(findGroup('root')).toBe(0);
    expect(findGroup('no-such-group')).toBeUndefined();
  });
});
