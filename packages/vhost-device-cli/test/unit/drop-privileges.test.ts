import { getegid, geteuid } from 'node:process';
import { describe, expect, it } from 'vitest';
import { dropPrivileges, findUser } from '../../src/drop-privileges.ts';

describe('findUser', () => {
  it('knows users by name and by number', () => {
    expect(findUser('root')).toEqual({ name: 'root', uid: 0, gid: 0 });
    expect(findUser('0')).toEqual({ name: 'root', uid: 0, gid: 0 });
  });

  it('knows when there is none', () => {
    for (const user of ['', 'nobody-of-that-name', '-1', '4294967294', 'roo', 'root:x']) {
      expect(findUser(user)).toBeUndefined();
    }
  });
});

describe('dropPrivileges', () => {
  it('does nothing for the user that it is already', () => {
    const uid = geteuid?.() ?? 0;
    const gid = getegid?.() ?? 0;
    dropPrivileges({ name: 'whoever', uid, gid });
    expect([geteuid?.(), getegid?.()]).toEqual([uid, gid]);
  });
});
