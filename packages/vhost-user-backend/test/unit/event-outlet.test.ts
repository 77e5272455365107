import { beforeEach, describe, expect, it } from 'vitest';
import { countEvent, createEventFlow, EVENT_FLOW } from '../../src/between/event-flow.ts';
import { EventOutlet } from '../../src/worker/event-outlet.ts';

describe('An outlet of events', () => {
  let flow: Int32Array;
  let sent: string[];
  let outlet: EventOutlet;
  beforeEach(() => {
    flow = createEventFlow();
    flow[EVENT_FLOW.LISTENING] = 1;
    sent = [];
    outlet = new EventOutlet(flow, (text) => sent.push(text));
  });

  const takeAll = (): void => {
    for (const text of sent.splice(0)) countEvent(flow, text, -1);
  };

  it('holds 1024 events, counts what comes then, and says so with the next', () => {
    for (let n = 0; n < 1_000_000; n++) outlet.emit({ n });
    expect(sent).toHaveLength(1024);
    takeAll();
    expect([...flow]).toEqual([1, 0, 0]);
    outlet.emit({ next: 1 });
    outlet.emit({ next: 2 });
    expect(sent).toEqual(['{"next":1,"lost":998976}', '{"next":2}']);
  });

  it('holds 256 Ki characters and the rest of an event', () => {
    const text = 'x'.repeat(65_000);
    for (let n = 0; n < 100; n++) outlet.emit({ text });
    expect(sent).toHaveLength(5);
    takeAll();
    outlet.emit({});
    expect(sent).toEqual(['{"lost":95}']);
  });

  it('is not taken for full by an event that cannot be told', () => {
    for (let n = 0; n < 2000; n++) expect(() => outlet.emit({ n: 1n })).toThrow(TypeError);
    outlet.emit({});
    expect(sent).toEqual(['{}']);
  });

  it('that nobody listens at sends nothing, and looks at nothing', () => {
    flow[EVENT_FLOW.LISTENING] = 0;
    outlet.emit({ n: 1n });
    for (let n = 0; n < 2000; n++) outlet.emit({ n });
    let made = 0;
    outlet.emit(() => ({ made: ++made }));
    flow[EVENT_FLOW.LISTENING] = 1;
    outlet.emit(() => ({ made: ++made }));
    expect(sent).toEqual(['{"made":1}']);
  });
});
