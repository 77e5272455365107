import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import type { ComplianceCase } from '@node-vmm/vmm-sys-util/testing';
import { XenStoreError } from '../errors.ts';
import type { Subscription } from '../subscription.ts';
import type { XenStore } from '../xen-store.ts';

/** What a run of the suite works on. */
export interface XenStoreComplianceContext {
  readonly store: XenStore;
  /** A second connection. */
  readonly other: XenStore;
  /** A node of our own, which exists and is empty when a case starts. */
  readonly root: string;
}

/** One rule that a xenstored and this client keep together. */
export type XenStoreComplianceCase = ComplianceCase<XenStoreComplianceContext>;

function fails(code: string, promise: Promise<unknown>): Promise<void> {
  return rejects(promise, (error) => {
    ok(XenStoreError.is(error), `expected a XenStoreError, got ${String(error)}`);
    equal(error.code, code, error.message);
    return true;
  });
}

/** Reads events until one of them is at `path`; events may come more often than changes. */
async function eventAt(subscription: Subscription, path: string): Promise<void> {
  for (;;) {
    const event = await subscription.next();
    ok(!event.done, `the subscription ended before an event at ${path}`);
    if (event.value.path === path) return;
  }
}

/** The suite, as data: run each case with any test runner, on the fake and on xenstored alike. */
export const xenStoreComplianceCases: readonly XenStoreComplianceCase[] = [
  {
    section: 'nodes',
    name: 'reads what was written, bytes as they are',
    async run({ store, root }) {
      await store.write(`${root}/a/b`, 'grüße');
      equal(await store.read(`${root}/a/b`), 'grüße');
      equal(await store.read(`${root}/a`), '');
      const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
      await store.write(`${root}/bytes`, bytes);
      deepEqual([...(await store.readBytes(`${root}/bytes`))], [...bytes]);
    },
  },
  {
    section: 'nodes',
    name: 'lists children and removes trees',
    async run({ store, root }) {
      await store.mkdir(`${root}/x/y`);
      await store.write(`${root}/z`, '1');
      deepEqual((await store.directory(root)).sort(), ['x', 'z']);
      await store.rm(`${root}/x`);
      await store.rm(`${root}/x`);
      deepEqual(await store.directory(root), ['z']);
      deepEqual(await store.directory(`${root}/z`), []);
      equal(await store.tryRead(`${root}/x/y`), undefined);
    },
  },
  {
    section: 'nodes',
    name: 'mkdir leaves the value of a node that exists',
    async run({ store, root }) {
      await store.write(`${root}/kept`, 'v');
      await store.mkdir(`${root}/kept`);
      equal(await store.read(`${root}/kept`), 'v');
    },
  },
  {
    section: 'nodes',
    name: 'answers ENOENT with the path, and EINVAL for no path',
    async run({ store, root }) {
      await fails('ENOENT', store.read(`${root}/absent`));
      await fails('ENOENT', store.directory(`${root}/absent`));
      await fails('ENOENT', store.rm(`${root}/absent/below`));
      await rejects(store.read(`${root}/absent`), {
        context: { path: `${root}/absent` },
      });
      for (const path of ['', `${root}/`, `${root}//x`, `${root}/a b`, `${root}/a\0b`]) {
        await fails('EINVAL', store.read(path));
      }
    },
  },
  {
    section: 'nodes',
    name: 'lists a directory that does not fit one message',
    async run({ store, root }) {
      const names = Array.from({ length: 150 }, (_, i) => `${'n'.repeat(40)}-${i}`);
      await Promise.all(names.map((name) => store.write(`${root}/${name}`, '')));
      deepEqual((await store.directory(root)).sort(), [...names].sort());
    },
  },
  {
    section: 'connection',
    name: 'matches replies of many requests under way',
    async run({ store, root }) {
      const numbers = Array.from({ length: 200 }, (_, i) => i);
      await Promise.all(numbers.map((i) => store.write(`${root}/n${i}`, String(i))));
      const values = await Promise.all(numbers.map((i) => store.read(`${root}/n${i}`)));
      deepEqual(values, numbers.map(String));
    },
  },
  {
    section: 'connection',
    name: 'refuses what does not fit one message, and goes on',
    async run({ store, root }) {
      await fails('TOO_LARGE', store.write(`${root}/big`, 'x'.repeat(5000)));
      await store.write(`${root}/fits`, 'x'.repeat(1024));
      equal((await store.read(`${root}/fits`)).length, 1024);
    },
  },
  {
    section: 'permissions',
    name: 'sets and reads permissions, the owner first',
    async run({ store, root }) {
      await store.write(`${root}/p`, '');
      const permissions = [
        { domid: 0, access: 'none' },
        { domid: 1, access: 'read' },
        { domid: 2, access: 'both' },
      ] as const;
      await store.setPermissions(`${root}/p`, permissions);
      deepEqual(await store.getPermissions(`${root}/p`), permissions);
      await fails('ENOENT', store.setPermissions(`${root}/absent`, permissions));
    },
  },
  {
    section: 'watches',
    name: 'an event at once, then one for changes at and below the path',
    async run({ store, other, root }) {
      await using watch = await store.watch(root);
      await eventAt(watch, root);
      await other.write(`${root}/child`, '1');
      await eventAt(watch, `${root}/child`);
      await other.rm(`${root}/child`);
      await eventAt(watch, `${root}/child`);
    },
  },
  {
    section: 'watches',
    name: 'two of the same path do not interfere',
    async run({ store, other, root }) {
      await using first = await store.watch(root);
      await using second = await store.watch(root);
      await eventAt(first, root);
      await eventAt(second, root);
      await first.unwatch();
      equal((await first.next()).done, true);
      await other.write(`${root}/w`, '1');
      await eventAt(second, `${root}/w`);
    },
  },
  {
    section: 'watches',
    name: 'a node that does not exist yet, and special paths',
    async run({ store, other, root }) {
      await using watch = await store.watch(`${root}/later`);
      await eventAt(watch, `${root}/later`);
      await other.write(`${root}/later`, '1');
      await eventAt(watch, `${root}/later`);
      await using introduce = await store.watch('@introduceDomain');
      await eventAt(introduce, '@introduceDomain');
      await using release = await store.watch('@releaseDomain');
      await eventAt(release, '@releaseDomain');
    },
  },
  {
    section: 'transactions',
    name: 'takes effect at the end, or not at all',
    async run({ store, other, root }) {
      const result = await store.transaction(async (t) => {
        await t.write(`${root}/t`, '1');
        equal(await t.read(`${root}/t`), '1');
        equal(await other.tryRead(`${root}/t`), undefined);
        return 'done';
      });
      equal(result, 'done');
      equal(await other.read(`${root}/t`), '1');
      const error = new Error('no');
      const aborted = store.transaction(async (t) => {
        await t.write(`${root}/t`, '2');
        throw error;
      });
      await rejects(aborted, error);
      equal(await other.read(`${root}/t`), '1');
    },
  },
  {
    section: 'transactions',
    name: 'is done again when somebody else was faster',
    async run({ store, other, root }) {
      await store.write(`${root}/counter`, '0');
      const increment = (client: XenStore): Promise<void> =>
        client.transaction(async (t) => {
          const value = Number(await t.read(`${root}/counter`));
          await t.write(`${root}/counter`, String(value + 1));
        });
      let runs = 0;
      await store.transaction(async (t) => {
        const value = Number(await t.read(`${root}/counter`));
        if (runs++ === 0) await increment(other);
        await t.write(`${root}/counter`, String(value + 10));
      });
      equal(runs, 2);
      equal(await store.read(`${root}/counter`), '11');
    },
  },
  {
    section: 'domains',
    name: 'knows domains',
    async run({ store }) {
      equal(await store.getDomainPath(0), '/local/domain/0');
      equal(await store.getDomainPath(7), '/local/domain/7');
      equal(await store.isDomainIntroduced(0), true);
      equal(await store.isDomainIntroduced(30_000), false);
    },
  },
];
