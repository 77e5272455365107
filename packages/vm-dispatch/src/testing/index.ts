/**
 * Dispatch threads for guests of the fake of `@node-vmm/xen-sys/testing`, and threads that can be killed or are stuck.
 *
 * @packageDocumentation
 */
export { KillableThreads } from './killable-threads.ts';
export { StuckThreads } from './stuck-threads.ts';

/** Undefined in a bundle of CommonJS, which has no such thread: whoever starts one is told that it is not there. */
const HERE: string | undefined = import.meta.url;
/** Tests run the sources, which Node 20 cannot load in a worker thread. */
const FROM_SOURCE = HERE?.endsWith('.ts') === true;

/** Ours: `threadModule` of a `DispatchThread` for guests of a `FakeXen` that was made with `threads`. */
export const FAKE_XEN_THREAD: URL = new URL(
  FROM_SOURCE ? '../../dist/testing/fake-xen-thread.js' : './fake-xen-thread.js',
  HERE ?? 'file:///',
);
