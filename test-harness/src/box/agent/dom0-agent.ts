// Runs in dom0, started by init: serves the harness's requests over a virtio-serial port.
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  createReadStream,
  existsSync,
  mkdirSync,
  openSync,
  read,
  readdirSync,
  readFileSync,
  write,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  encodeData,
  encodeFrame,
  type Frame,
  FrameReader,
  FrameType,
  type Request,
  type Result,
} from './frames.ts';

const PORT_NAME = 'node-vmm';
const PORTS = '/sys/class/virtio-ports';
/** How long output of a finished command may still arrive from what it left running. */
const DRAIN_MS = 100;

interface Channel {
  onFrame(frame: Frame): void;
}

const channels = new Map<number, Channel>();
const outgoing: Buffer[] = [];
let writing = false;
let port = -1;

function pump(): void {
  const next = outgoing[0];
  if (writing || next === undefined) return;
  writing = true;
  write(port, next, (error, written) => {
    writing = false;
    if (error) throw error;
    if (written < next.length) outgoing[0] = next.subarray(written);
    else outgoing.shift();
    pump();
  });
}

function send(...frames: Buffer[]): void {
  outgoing.push(...frames);
  pump();
}

function close(channel: number, result: Result): void {
  if (channels.delete(channel)) {
    send(encodeFrame(channel, FrameType.CLOSE, JSON.stringify(result)));
  }
}

function signal(child: ChildProcess, name: string): void {
  if (child.pid === undefined) return;
  try {
    // The whole process group: a shell does not pass signals on.
    process.kill(-child.pid, name as NodeJS.Signals);
  } catch {
    // It is gone already.
  }
}

function exec(id: number, { command, env }: Extract<Request, { kind: 'exec' }>): Channel {
  const child = spawn('/bin/sh', ['-c', command], {
    cwd: '/root',
    env: { ...process.env, ...env },
    detached: true,
    stdio: 'pipe',
  });
  child.stdout.on('data', (data: Buffer) => send(...encodeData(id, FrameType.DATA, data)));
  child.stderr.on('data', (data: Buffer) => send(...encodeData(id, FrameType.ERROR_DATA, data)));
  // A command that does not read its input is no error.
  child.stdin.on('error', () => {});
  child.on('error', (error) => close(id, { code: 127, error: error.message }));
  child.on('exit', (code, by) => {
    const result = by === null ? { code: code ?? 0 } : { code: 128, signal: by };
    child.on('close', () => close(id, result));
    // Something in the background may hold the pipes open for ever.
    setTimeout(() => close(id, result), DRAIN_MS);
  });
  return {
    onFrame({ type, payload }) {
      if (type === FrameType.DATA) child.stdin.write(payload);
      else if (type === FrameType.END) child.stdin.end();
      else if (type === FrameType.SIGNAL) signal(child, payload.toString());
    },
  };
}

function put(id: number, { path, mode }: Extract<Request, { kind: 'put' }>): Channel {
  mkdirSync(dirname(path), { recursive: true });
  const fd = openSync(path, 'w', mode);
  return {
    onFrame({ type, payload }) {
      if (type === FrameType.DATA) {
        writeSync(fd, payload);
      } else {
        closeSync(fd);
        close(id, { code: 0 });
      }
    },
  };
}

function get(id: number, { path }: Extract<Request, { kind: 'get' }>): Channel {
  const stream = createReadStream(path);
  stream.on('data', (data) => send(...encodeData(id, FrameType.DATA, data as Buffer)));
  stream.on('error', (error) => close(id, { code: 1, error: error.message }));
  stream.on('end', () => close(id, { code: 0 }));
  return { onFrame: () => {} };
}

function open(id: number, request: Request): Channel {
  switch (request.kind) {
    case 'exec':
      return exec(id, request);
    case 'put':
      return put(id, request);
    case 'get':
      return get(id, request);
  }
}

function onFrame(frame: Frame): void {
  const { channel: id, type, payload } = frame;
  try {
    if (type === FrameType.OPEN) {
      // It counts as open while it is being opened, so that a failure closes it.
      channels.set(id, { onFrame: () => {} });
      channels.set(id, open(id, JSON.parse(payload.toString())));
    } else {
      channels.get(id)?.onFrame(frame);
    }
  } catch (error) {
    close(id, { code: 1, error: (error as Error).message });
  }
}

async function findPort(): Promise<string> {
  for (;;) {
    const names = existsSync(PORTS) ? readdirSync(PORTS) : [];
    const name = names.find(
      (entry) => readFileSync(`${PORTS}/${entry}/name`, 'utf8').trim() === PORT_NAME,
    );
    if (name !== undefined) return `/dev/${name}`;
    await sleep(50);
  }
}

process.env['PATH'] = '/usr/local/bin:/usr/sbin:/usr/bin';
process.env['HOME'] = '/root';
port = openSync(await findPort(), 'r+');
const reader = new FrameReader();
const buffer = Buffer.alloc(64 * 1024);
const next = (): void => {
  read(port, buffer, 0, buffer.length, null, (error, length) => {
    if (error) throw error;
    for (const frame of reader.push(buffer.subarray(0, length))) onFrame(frame);
    // Zero bytes: nobody is connected on the host.
    if (length > 0) next();
    else setTimeout(next, 50);
  });
};
next();
