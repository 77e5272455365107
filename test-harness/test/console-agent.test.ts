import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ConsoleAgent } from '../src/box/console-agent.ts';
import { BoxError } from '../src/box/errors.ts';

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
const encode = (text: string): string => Buffer.from(text).toString('base64');

/** A guest: answers each request with what `reply` makes of it. */
function guest(reply: (verb: string, id: string, command: string) => string): ConsoleAgent {
  const agent = new ConsoleAgent({
    write(text) {
      for (const line of text.split('\n').filter(Boolean)) {
        const [verb = '', id = '', , command = ''] = line.split(' ');
        const answer = reply(verb, id, Buffer.from(command, 'base64').toString());
        queueMicrotask(() => agent.receive(Buffer.from(answer)));
      }
    },
  });
  return agent;
}

const good = (id: string, out: string, code = 0): string =>
  `@NV o ${id} 1 ${encode(out)}\r\n@NV x ${id} ${code} ${md5(out)} ${md5('')}\r\n`;

describe('commands over a console', () => {
  it('return exit code and output', async () => {
    const agent = guest((_verb, id, command) => good(id, `ran ${command}`, 3));
    expect(await agent.exec('ls', 1000)).toEqual({ code: 3, stdout: 'ran ls', stderr: '' });
  });

  it('survive a kernel message in front of an answer', async () => {
    const agent = guest((_verb, id) => good(id, 'out').replaceAll('@NV', '[  1.2] oops @NV'));
    expect((await agent.exec('ls', 1000)).stdout).toBe('out');
  });

  it('are answered again when a kernel message broke the answer', async () => {
    const verbs: string[] = [];
    const agent = guest((verb, id) => {
      verbs.push(verb);
      return verb === 'X'
        ? good(id, 'out').replace(encode('out'), 'b3[ 1.2] oops\nV0')
        : good(id, 'out');
    });
    expect((await agent.exec('ls', 1000)).stdout).toBe('out');
    expect(verbs).toEqual(['X', 'R']);
  });

  it('fail when the answer stays broken', async () => {
    const agent = guest((_verb, id) => `@NV x ${id} 0 ${md5('lost')} ${md5('')}\n`);
    const error = await agent.exec('ls', 1000).catch((caught: unknown) => caught);
    expect(BoxError.is(error) && error.code).toBe('PROTOCOL');
  });

  it('run one after the other', async () => {
    const agent = guest((_verb, id, command) => good(id, command));
    const results = await Promise.all(['a', 'b', 'c'].map((name) => agent.exec(name, 1000)));
    expect(results.map(({ stdout }) => stdout)).toEqual(['a', 'b', 'c']);
  });

  it('fail at once when the guest is gone', async () => {
    const agent = guest(() => '');
    const pending = agent.exec('ls', 1000);
    const gone = new BoxError('DOMAIN_GONE', 'gone');
    agent.end(gone);
    await expect(pending).rejects.toBe(gone);
    await expect(agent.exec('ls', 1000)).rejects.toBe(gone);
    await expect(agent.waitUp()).rejects.toBe(gone);
  });

  it('wait for the guest to say hello to this call', async () => {
    let calls = 0;
    const agent = guest((_verb, id) => {
      calls += 1;
      return `@NV hello stale\n${calls > 1 ? `@NV hello ${id}\n` : ''}`;
    });
    await agent.waitUp();
    expect(calls).toBe(2);
  });

  it('do not grow without bound on noise', async () => {
    const agent = guest((_verb, id) => good(id, 'out'));
    for (let index = 0; index < 100; index += 1) agent.receive(Buffer.alloc(10_000, 'x'));
    agent.receive(Buffer.from('\n'));
    expect((await agent.exec('ls', 1000)).stdout).toBe('out');
  });
});
