import { VHOST_USER_CONFIG_QEMU_MAX } from '@node-vmm/vhost-user';
import { VhostUserMasterError } from './errors.ts';
import type { Requester, RequestOptions } from './requester.ts';

/**
 * Reads a window of configuration space.
 *
 * Back-ends on libvhost-user ignore the offset: they answer with the first bytes and repeat the offset
 * as it was asked for. QEMU always asks from offset 0, up to 256 bytes, so that is right with every
 * back-end. More in one message makes libvhost-user end the connection.
 *
 * @throws {VhostUserMasterError} REQUEST_FAILED, WRONG_REPLY
 */
export async function readConfig(
  requester: Requester,
  offset: number,
  size: number,
  options: RequestOptions,
): Promise<Uint8Array> {
  if (offset + size <= VHOST_USER_CONFIG_QEMU_MAX) {
    return (await ask(requester, 0, offset + size, options)).slice(offset);
  }
  await proveOffsets(requester, options);
  return await ask(requester, offset, size, options);
}

/** @throws {VhostUserMasterError} WRONG_REPLY when the back-end ignores offsets, or may do so */
async function proveOffsets(requester: Requester, options: RequestOptions): Promise<void> {
  const first = await ask(requester, 0, VHOST_USER_CONFIG_QEMU_MAX, options);
  const other = first.findIndex((byte) => byte !== first[0]);
  if (other > 0) {
    const [byte] = await ask(requester, other, 1, options);
    if (byte === first[other]) return;
  }
  throw new VhostUserMasterError(
    'WRONG_REPLY',
    `Cannot read configuration space beyond ${VHOST_USER_CONFIG_QEMU_MAX} bytes: the back-end ` +
      (other > 0 ? 'ignores the offset' : 'may ignore the offset, its bytes are all alike'),
    { request: 'VHOST_USER_GET_CONFIG' },
  );
}

async function ask(
  requester: Requester,
  offset: number,
  size: number,
  options: RequestOptions,
): Promise<Uint8Array> {
  const { payload } = await requester.request(
    'VHOST_USER_GET_CONFIG',
    { offset, flags: 0, data: new Uint8Array(size) },
    options,
  );
  const got = payload.data.length;
  if (got === size && payload.offset === offset) return payload.data;
  const what = `Cannot read ${size} bytes of configuration space at ${offset}`;
  const context = { request: 'VHOST_USER_GET_CONFIG' };
  throw got === 0
    ? new VhostUserMasterError('REQUEST_FAILED', `${what}: the back-end refused`, context)
    : new VhostUserMasterError(
        'WRONG_REPLY',
        `${what}: the back-end answered with ${got} bytes at ${payload.offset}`,
        context,
      );
}
