import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';
import {
  ABI_SERIES,
  type AbiTarget,
  type GoldenAbi,
  goldenAbi,
  goldenAbiSkipReason,
} from '../src/golden/golden-abi.ts';

/** Tables of messages that only a specification defines, no header of the system. */
const NO_HEADER = /^(VhostUser\w+|u64)$/;

/** Names that come from headers, so that a new constant cannot escape the comparison ... */
const FROM_HEADERS =
  /^(XEN|IOREQ_|STATE_IO|HVM_|XS_|DOMID_|__HYPERVISOR_|GUEST_|PRIVCMD_|IOCTL_|KVM_|KVMIO|VIRTIO_|VIRTQ_|VRING_|VHOST_(?!USER_)|I2C_|GPIO_|E[A-Z0-9]+$|EFD_|EPOLL|F_|MFD_|MAP_|PROT_|MSG_|SCM_|SOL_|O_)/;

/** ... except these, which are ours or in no installed header. */
const OWN = new Set([
  'GPIO_CONSUMER',
  'GPIO_EDGE_FALLING',
  'GPIO_EDGE_RISING',
  'GPIO_LINES_MAX',
  'GPIO_QUEUE_SIZE',
  'GPIO_STATE_LAYOUT',
  'GUEST_ADDRESS_LIMIT',
  'I2C_ADDRESS_MAX',
  // Linux's own, in no header.
  'I2C_ADDR_OFFSET_TEN_BIT',
  'I2C_MESSAGE_MAX',
  'I2C_QUEUE_SIZE',
  'I2C_TRANSFER_MAX',
  'IOREQ_BITS_DATA_IS_PTR',
  'IOREQ_BITS_DF',
  'IOREQ_BITS_DIR',
  'IOREQ_BITS_STATE_MASK',
  // Module parameters, private to the driver.
  'PRIVCMD_DM_OP_BUF_MAX_SIZE',
  'PRIVCMD_DM_OP_MAX_NR_BUFS',
  // Linux calls them otherwise than the specification.
  'VIRTIO_GPIO_MSG_GET_LINE_NAMES',
  'VIRTIO_GPIO_MSG_SET_IRQ_TYPE',
  // Newer than the box's Linux.
  'VIRTIO_ID_SPI',
  // Registers that the uapi header does not name.
  'VIRTIO_MMIO_MAGIC',
  'VIRTIO_MMIO_QUEUE_RESET',
  'VIRTIO_MMIO_VERSION_2',
  'VIRTIO_MMIO_WINDOW_SIZE',
  'XEN_DM_OP_U_OFFSET',
  // vhost-user's flags of foreign memory: no header.
  'XEN_MMAP_FOREIGN',
  'XEN_MMAP_GRANT',
  'XEN_MMAP_NO_ADVANCE_MAP',
  'XEN_MMAP_NO_ADVANCE_MAP_SPEC',
  'XEN_MMAP_UNIX',
  'XEN_PAGE_SIZE',
]);

/** Field names of ours that stand for bit-fields, which have no offset in C. */
const BIT_FIELDS = new Set(['ioreq.bits']);

const HOST: AbiTarget = process.arch === 'arm64' ? 'arm64' : 'x86_64';

interface Table {
  readonly name: string;
  readonly SIZE: number;
  readonly OFFSETS: Readonly<Record<string, number>>;
}

interface Ioctl {
  readonly name: string;
  readonly number: number;
}

interface Manifest {
  readonly name: string;
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && 'SIZE' in value && 'OFFSETS' in value;
}

function isIoctl(value: unknown): value is Ioctl {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.keys(value).sort().join() === 'name,number'
  );
}

/** Everything that the packages of the workspace export: package, name, value. */
async function allExports(): Promise<[string, string, unknown][]> {
  const found: [string, string, unknown][] = [];
  const root = join(WORKSPACE_ROOT, 'packages');
  for (const directory of readdirSync(root)) {
    const text = readFileSync(join(root, directory, 'package.json'), 'utf8');
    const { exports = {} } = JSON.parse(text) as Manifest;
    for (const [subpath, entry] of Object.entries(exports)) {
      // What is for tests has numbers of its own.
      if (typeof entry === 'string' || subpath === './testing') continue;
      const source = join(root, directory, entry['@node-vmm/source'] ?? '');
      const module = (await import(/* @vite-ignore */ source)) as Record<string, unknown>;
      for (const [name, value] of Object.entries(module)) found.push([directory, name, value]);
    }
  }
  return found;
}

function kept(series: string, target: AbiTarget): GoldenAbi {
  const path = new URL(`../golden/abi-${series}-${target}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, 'utf8')) as GoldenAbi;
}

/**
 * What one series says. Constants of arm guests are of use on every host, and tables of one architecture's
 * registers are looked at on the other, too: what only the other has is taken from there.
 */
function goldenOf(series: string): GoldenAbi {
  const [other, host] = [kept(series, HOST === 'arm64' ? 'x86_64' : 'arm64'), kept(series, HOST)];
  return {
    structs: { ...other.structs, ...host.structs },
    constants: { ...other.constants, ...host.constants },
  };
}

const everything = await allExports();

const tables = everything.filter((item): item is [string, string, Table] => isTable(item[2]));
const constants = everything.flatMap(([directory, name, value]): [string, string, number][] => {
  if (isIoctl(value)) return [[directory, value.name, value.number]];
  if (typeof value !== 'number' && typeof value !== 'bigint') return [];
  // The kernel's headers still have the names of drafts of the specification.
  return [[directory, name.replace(/^VIRTQ_/, 'VRING_'), Number(value)]];
});

describe.each(ABI_SERIES)('tables and constants of Xen %s', (series) => {
  const golden = goldenOf(series);

  describe('struct tables have the layout of the headers', () => {
    it.each(tables)('%s: %s', (_directory, _export, table) => {
      const struct = golden.structs[table.name];
      if (struct === undefined) {
        expect(table.name, 'a table without a header must be listed here').toMatch(NO_HEADER);
        return;
      }
      expect(table.SIZE).toBe(struct.size);
      const offsets = Object.entries(table.OFFSETS).filter(
        ([field]) => !BIT_FIELDS.has(`${table.name}.${field}`),
      );
      expect(struct.offsets).toMatchObject(Object.fromEntries(offsets));
    });

    it('and there are tables to compare', () => {
      const compared = tables.filter(([, , { name }]) => golden.structs[name] !== undefined);
      expect(compared.length).toBeGreaterThan(30);
    });
  });

  describe('constants have the values of the headers', () => {
    const known = constants.filter(([, name]) => golden.constants[name] !== undefined);

    it.each(known)('%s: %s', (_directory, name, value) => {
      expect(value).toBe(golden.constants[name]);
    });

    it('and none from a header is left out', () => {
      const unknown = constants
        .filter(([, name]) => FROM_HEADERS.test(name) && !OWN.has(name))
        .filter(([, name]) => golden.constants[name] === undefined)
        .map(([directory, name]) => `${directory}: ${name}`);
      expect(unknown).toEqual([]);
    });
  });

  describe('the kept JSON is what the headers say', () => {
    for (const target of ['x86_64', 'arm64'] as const) {
      const reason = goldenAbiSkipReason(series, target);
      it.skipIf(reason)(`${target}${reason ? ` (${reason})` : ''}`, async () => {
        expect(await goldenAbi(series, target)).toEqual(kept(series, target));
      });
    }
  });
});
