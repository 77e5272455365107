import type { Host } from '@node-vmm/vhost-user-backend';
import type { GpioLines } from './gpio-lines.ts';
import type { LineAnswer, LineRequest } from './line-messages.ts';

function answer(lines: GpioLines, request: LineRequest): LineAnswer {
  switch (request.op) {
    case 'isOutput':
      return lines.isOutput(request.line);
    case 'setDirection':
      lines.setDirection(request.line, request.output, request.value);
      return undefined;
    case 'value':
      return lines.value(request.line);
    case 'setValue':
      lines.setValue(request.line, request.value);
      return undefined;
    case 'arm':
      return lines.arm(request.line, request.edges, request.seqno);
    case 'disarm':
      lines.disarm(request.line);
      return undefined;
    case 'release':
      lines.release(request.line);
      return undefined;
  }
}

/**
 * Serves a chip's lines in a host thread, which they may block: see `LinuxGpioHost`.
 *
 * @param lines - become the host's, which disposes of them
 */
export function serveGpioLines(lines: GpioLines): Host {
  return {
    answer: (request) => answer(lines, request as LineRequest),
    [Symbol.dispose]: () => lines[Symbol.dispose](),
  };
}
