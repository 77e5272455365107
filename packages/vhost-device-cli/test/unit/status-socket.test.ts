import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/control.ts';
import { openStatusSocket } from '../../src/index.ts';

const NOTHING = { guests: [], devices: [] };

describe('The control socket of a program that has a status', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'cli-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const open = (place: { asked?: string; usual?: string }, logger = silentLogger) =>
    openStatusSocket({ asked: undefined, ...place }, () => NOTHING, logger);

  it('answers that and nothing else', async () => {
    using _control = await open({ usual: join(dir, 'control') });
    using client = await ControlClient.connect(join(dir, 'control'));
    expect(await client.command(['status'])).toEqual(NOTHING);
    const refused = { code: 'USAGE' };
    await expect(client.command(['stats'])).rejects.toMatchObject(refused);
    await expect(client.command(['status', 'all'])).rejects.toMatchObject(refused);
    const other = client.command(['status'], { device: 'i2c0' });
    await expect(other).rejects.toMatchObject(refused);
    await expect(client.watch()).rejects.toMatchObject(refused);
    expect(await client.command(['status'])).toEqual(NOTHING);
  });

  it('is where it was told, for its user alone', async () => {
    const asked = join(dir, 'asked');
    using _control = await open({ asked, usual: join(dir, 'usual') });
    expect(statSync(asked).mode & 0o777).toBe(0o600);
    await expect(ControlClient.connect(join(dir, 'usual'))).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });

  it('has its usual directory made, and is of one program', async () => {
    const usual = join(dir, 'made/control');
    using first = await open({ usual });
    expect(first).toBeDefined();
    expect(statSync(join(dir, 'made')).mode & 0o777).toBe(0o700);
    expect(await open({ usual })).toBeUndefined();
    using client = await ControlClient.connect(usual);
    expect(await client.command(['status'])).toEqual(NOTHING);
  });

  it('that cannot be is a warning, unless it was told', async () => {
    const warnings: object[] = [];
    const logger = { ...silentLogger, warn: (fields: object) => warnings.push(fields) };
    const gone = join(dir, 'gone');
    writeFileSync(gone, '');
    expect(await open({ usual: `${gone}/control` }, logger)).toBeUndefined();
    expect(warnings).toEqual([{ path: `${gone}/control`, reason: expect.any(String) }]);
    const asked = open({ asked: `${gone}/c` }, logger);
    await expect(asked).rejects.toMatchObject({ code: 'BAD_DIRECTORY' });
    expect(await open({}, logger)).toBeUndefined();
  });
});
