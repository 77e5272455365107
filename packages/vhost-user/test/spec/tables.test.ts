import { describe, expect, it } from 'vitest';
import {
  BACKEND_REQUESTS,
  FRONTEND_REQUESTS,
  hasProtocolFeature,
  type MessageTable,
  protocolFeatureMask,
  protocolFeatureNames,
  VHOST_USER_PROTOCOL_FEATURES,
} from '../../src/index.ts';

const ids = (table: MessageTable): number[] => Object.values(table).map(({ id }) => id);
const range = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1);

describe('message tables', () => {
  it('Front-end message types: 1 to 44 without a gap', () => {
    expect(ids(FRONTEND_REQUESTS)).toEqual(range(44));
  });

  it('Back-end message types: 1 to 10 without a gap', () => {
    expect(ids(BACKEND_REQUESTS)).toEqual(range(10));
  });

  it('Communication: the requests that require a reply', () => {
    const always = Object.entries(FRONTEND_REQUESTS as MessageTable)
      .filter(([, { reply }]) => reply !== undefined && reply.with === undefined)
      .map(([name]) => name.replace('VHOST_USER_', ''));
    expect(always).toEqual([
      'GET_FEATURES',
      'GET_VRING_BASE',
      'GET_PROTOCOL_FEATURES',
      'GET_QUEUE_NUM',
      'IOTLB_MSG',
      'GET_CONFIG',
      'CREATE_CRYPTO_SESSION',
      'POSTCOPY_ADVISE',
      'POSTCOPY_END',
      'GET_INFLIGHT_FD',
      'GET_MAX_MEM_SLOTS',
      'GET_STATUS',
      'GET_SHARED_OBJECT',
      'SET_DEVICE_STATE_FD',
      'CHECK_DEVICE_STATE',
      'GET_SHMEM_CONFIG',
    ]);
    const logBase = FRONTEND_REQUESTS.VHOST_USER_SET_LOG_BASE;
    expect(logBase.reply.with).toBe('VHOST_USER_PROTOCOL_F_LOG_SHMFD');
  });

  it('Communication: the requests that carry file descriptors', () => {
    const carriers = Object.entries(FRONTEND_REQUESTS as MessageTable)
      .filter(([, spec]) => spec.fds !== 'none')
      .map(([name]) => name.replace('VHOST_USER_', ''));
    expect(carriers).toEqual([
      'SET_MEM_TABLE',
      'SET_LOG_BASE',
      'SET_LOG_FD',
      'SET_VRING_KICK',
      'SET_VRING_CALL',
      'SET_VRING_ERR',
      'SET_BACKEND_REQ_FD',
      'SET_INFLIGHT_FD',
      'GPU_SET_SOCKET',
      'ADD_MEM_REG',
      'REM_MEM_REG',
      'SET_DEVICE_STATE_FD',
    ]);
  });

  it('Protocol features: bits 0 to 22, XEN_MMAP is 17 and SHMEM is 22', () => {
    expect(Object.values(VHOST_USER_PROTOCOL_FEATURES)).toEqual([0, ...range(22)]);
    expect(protocolFeatureMask('VHOST_USER_PROTOCOL_F_XEN_MMAP')).toBe(0x2_0000n);
    expect(hasProtocolFeature(1n << 22n, 'VHOST_USER_PROTOCOL_F_SHMEM')).toBe(true);
    expect(protocolFeatureNames(0x9n)).toEqual(['MQ', 'REPLY_ACK']);
  });
});
