import type { Host, HostThread } from '@node-vmm/vhost-user-backend';

/** A connection to a host without a thread between: what goes to and fro is cloned all the same. */
export function hostThread(host: Host): HostThread {
  const close = (): void => undefined;
  return {
    request(request, answered) {
      Promise.resolve(host.answer(structuredClone(request))).then(
        (answer) => answered(undefined, structuredClone(answer)),
        ({ message, code }: Error & { code?: string }) =>
          answered(Object.assign(new Error(message), { code })),
      );
    },
    close,
    [Symbol.dispose]: close,
  };
}
