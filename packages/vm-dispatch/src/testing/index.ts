/**
 * Dispatch threads for guests of the fake of `@node-vmm/xen-sys/testing`.
 *
 * @packageDocumentation
 */

/** Tests run the sources, which Node 20 cannot load in a worker thread. */
const FROM_SOURCE = import.meta.url.endsWith('.ts');

/** Ours: `threadModule` of a `DispatchThread` for guests of a `FakeXen` that was made with `threads`. */
export const FAKE_XEN_THREAD: URL = new URL(
  FROM_SOURCE ? '../../dist/testing/fake-xen-thread.js' : './fake-xen-thread.js',
  import.meta.url,
);
