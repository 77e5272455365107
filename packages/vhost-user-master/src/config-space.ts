import { VHOST_USER_CONFIG_QEMU_MAX } from '@node-vmm/vhost-user';
import { VhostUserMasterError } from './errors.ts';
import type { Requester, RequestOptions } from './requester.ts';

/**
 * Reads a window of configuration space.
 *
 * @throws {VhostUserMasterError} REQUEST_FAILED, WRONG_REPLY
 */
export async function readConfig(
  requester: Requester,
  offset: number,
  size: number,
  options: RequestOptions,
): Promise<Uint8Array> {
  // QEMU always asks from offset 0, and back-ends on libvhost-user ignore any other offset.
  const start = offset + size <= VHOST_USER_CONFIG_QEMU_MAX ? 0 : offset;
  const length = offset + size - start;
  const { payload } = await requester.request(
    'VHOST_USER_GET_CONFIG',
    { offset: start, flags: 0, data: new Uint8Array(length) },
    options,
  );
  const got = payload.data.length;
  if (got === length) return payload.data.slice(offset - start);
  const what = `Cannot read ${size} bytes of configuration space at ${offset}`;
  const context = { request: 'VHOST_USER_GET_CONFIG' };
  throw got === 0
    ? new VhostUserMasterError('REQUEST_FAILED', `${what}: the back-end refused`, context)
    : new VhostUserMasterError(
        'WRONG_REPLY',
        `${what}: the back-end answered with ${got} bytes instead of ${length}`,
        context,
      );
}
