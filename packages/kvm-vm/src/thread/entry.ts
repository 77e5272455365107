// Entry of the thread of a vCPU. Imported anywhere else it does nothing, so that a bundle may be program and
// thread in one file.
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import type { VcpuWorkerData } from '@node-vmm/kvm-sys';
import type { VcpuThreadData } from './thread-data.ts';

async function run({ vcpu, data }: VcpuWorkerData<VcpuThreadData>): Promise<void> {
  const { runVcpu } = await import('./run-vcpu.ts');
  const report = runVcpu(vcpu, data);
  if (report !== undefined) parentPort?.postMessage(report);
}

function isOurs(data: unknown): data is VcpuWorkerData<VcpuThreadData> {
  if (typeof data !== 'object' || data === null || !('data' in data)) return false;
  const inner: unknown = data.data;
  return (
    typeof inner === 'object' &&
    inner !== null &&
    'nodeVmmThread' in inner &&
    inner.nodeVmmThread === 'vcpu'
  );
}

const data: unknown = workerData;
if (!isMainThread && isOurs(data)) void run(data);
