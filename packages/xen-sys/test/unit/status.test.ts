import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { xenStatus } from '../../src/index.ts';

describe('xenStatus', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'xen-status-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('tells that this is no Xen domain', () => {
    const status = xenStatus({ hypervisor: join(directory, 'absent') });
    expect(status.isXen).toBe(false);
    expect(status.guestType).toBeUndefined();
    expect(status.remedies.join()).toMatch(/no Xen domain/);
  });

  it('tells which device is missing in a Xen domain', () => {
    writeFileSync(join(directory, 'type'), 'xen\n');
    writeFileSync(join(directory, 'guest_type'), 'PVH\n');
    writeFileSync(join(directory, 'privcmd'), '');
    const status = xenStatus({
      hypervisor: directory,
      privcmd: join(directory, 'privcmd'),
      evtchn: join(directory, 'evtchn'),
    });
    expect(status).toMatchObject({
      isXen: true,
      guestType: 'PVH',
      privcmd: 'usable',
      evtchn: 'missing',
    });
    expect(status.remedies).toHaveLength(1);
    expect(status.remedies[0]).toMatch(/CONFIG_XEN_DEV_EVTCHN/);
  });
});
