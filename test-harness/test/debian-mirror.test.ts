import { describe, expect, it } from 'vitest';
import {
  debianMirrors,
  parseDeb822Sources,
  parseOneLineSources,
} from '../src/box/debian-mirror.ts';

describe('the mirror of this machine', () => {
  it('is read from the one-line format', () => {
    const text = [
      '# deb http://commented.example/debian bookworm main',
      'deb-src http://source.example/debian bookworm main',
      'deb http://security.example/debian-security bookworm-security main',
      'deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # note',
    ].join('\n');
    expect(debianMirrors(parseOneLineSources(text), 'bookworm', 'sid')).toEqual([
      'http://mirror.example/debian',
    ]);
  });

  it('is read from the deb822 format', () => {
    const text = `Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

# A comment
Types: deb deb-src
# URIs: http://commented.example/debian
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main
Signed-By: /k.gpg
`;
    expect(debianMirrors(parseDeb822Sources(text), 'bookworm', 'trixie')).toEqual([
      'http://mirror.example/debian',
    ]);
  });

  it('is another one for security updates', () => {
    const text = [
      'deb http://mirror.example/debian bookworm main',
      'deb http://mirror.example/debian-security bookworm-security main',
    ].join('\n');
    expect(debianMirrors(parseOneLineSources(text), 'bookworm', 'trixie-security')).toEqual([
      'http://mirror.example/debian-security',
    ]);
  });

  it('leaves out what is disabled or for sources only', () => {
    const text = `Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
`;
    expect(parseDeb822Sources(text)).toEqual([]);
  });

  it('is none when no entry has main of the release', () => {
    const sources = parseOneLineSources('deb http://mirror.example/ubuntu noble main');
    expect(debianMirrors(sources, 'bookworm', 'bookworm')).toEqual([]);
  });
});
