import { expect, it } from 'vitest';
import { exposition } from '../../src/metrics/exposition.ts';

it('is what Prometheus reads', async () => {
  const { contentType, text } = await exposition([
    { name: 'guests', help: 'Guests', type: 'gauge', samples: [{ value: 2 }] },
    {
      name: 'errors_total',
      help: 'Errors',
      type: 'counter',
      samples: [
        { labels: { kind: 'a' }, value: 0 },
        { labels: { kind: 'b"\n\\' }, value: 3 },
      ],
    },
    { name: 'none_total', help: 'None', type: 'counter', samples: [] },
    {
      name: 'held_seconds',
      help: 'Held',
      type: 'histogram',
      bounds: [0.001, 10],
      counts: [5, 0, 1],
      sum: 31.5,
    },
  ]);
  expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(text.split('\n').filter((line) => line !== '')).toEqual([
    '# HELP guests Guests',
    '# TYPE guests gauge',
    'guests 2',
    '# HELP errors_total Errors',
    '# TYPE errors_total counter',
    'errors_total{kind="a"} 0',
    'errors_total{kind="b\\"\\n\\\\"} 3',
    '# HELP none_total None',
    '# TYPE none_total counter',
    'none_total 0',
    '# HELP held_seconds Held',
    '# TYPE held_seconds histogram',
    'held_seconds_bucket{le="0.001"} 5',
    'held_seconds_bucket{le="10"} 5',
    'held_seconds_bucket{le="+Inf"} 6',
    'held_seconds_sum 31.5',
    'held_seconds_count 6',
  ]);
});
