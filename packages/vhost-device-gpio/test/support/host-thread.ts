import type { Host, HostThread } from '@node-vmm/vhost-user-backend';

/**
 * A connection to a host without a thread between: what goes to and fro is cloned all the same, and
 * answered later and in order. Closing it ends the host, after what it is asked at the moment.
 */
export function hostThread(host: Host): HostThread {
  let live = true;
  const close = (): void => {
    if (live) setImmediate(() => host[Symbol.dispose]());
    live = false;
  };
  return {
    request(request, answered) {
      if (!live) throw new TypeError('the connection is closed');
      const message = structuredClone(request);
      setImmediate(() => {
        if (!live) return;
        let answer: unknown;
        try {
          answer = structuredClone(host.answer(message));
        } catch (error) {
          const { message: text, code } = error as Error & { code?: string };
          setImmediate(() => live && answered(Object.assign(new Error(text), { code })));
          return;
        }
        setImmediate(() => live && answered(undefined, answer));
      });
    },
    close,
    [Symbol.dispose]: close,
  };
}
