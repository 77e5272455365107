import { bothOver, Completion, heldPromise, whenOver } from '@node-vmm/vm-device';
import { describe, expect, it } from 'vitest';

const noting = (held: Parameters<typeof whenOver>[0]): string[] => {
  const notes: string[] = [];
  whenOver(
    held,
    () => notes.push('done'),
    (error) => notes.push(String(error)),
  );
  return notes;
};

describe('Completion', () => {
  it('calls in the moment in which it is over, once', () => {
    const completion = new Completion();
    const notes = noting(completion);
    expect(notes).toEqual([]);
    expect(completion.over).toBe(false);
    completion.complete();
    completion.complete();
    completion.fail('late');
    expect(notes).toEqual(['done']);
    expect(completion.over).toBe(true);
    expect(noting(completion)).toEqual(['done']);
  });

  it('says what went wrong, to those who ask later as well', () => {
    const completion = new Completion();
    const notes = noting(completion);
    completion.fail('broken');
    completion.complete();
    expect(notes).toEqual(['broken']);
    expect(noting(completion)).toEqual(['broken']);
  });

  it('fails without an error', () => {
    const completion = new Completion();
    completion.fail(undefined);
    expect(noting(completion)).toEqual(['undefined']);
  });
});

describe('what is held', () => {
  it('may be a promise', async () => {
    const notes = noting(Promise.resolve());
    const failed = noting(Promise.reject('broken'));
    await new Promise(setImmediate);
    expect(notes).toEqual(['done']);
    expect(failed).toEqual(['broken']);
  });

  it('can be awaited', async () => {
    const completion = new Completion();
    const held = heldPromise(completion);
    completion.complete();
    await held;
    await heldPromise(undefined);
    const broken = new Completion();
    broken.fail(new Error('broken'));
    await expect(heldPromise(broken)).rejects.toThrow('broken');
  });

  it('is over when both are', () => {
    const [first, second] = [new Completion(), new Completion()];
    const notes = noting(bothOver(first, second));
    second.complete();
    expect(notes).toEqual([]);
    first.complete();
    expect(notes).toEqual(['done']);
  });

  it('has failed when one of both has, and not before both are over', () => {
    for (const broken of [0, 1]) {
      const parts = [new Completion(), new Completion()] as const;
      const notes = noting(bothOver(...parts));
      parts[broken]?.fail('broken');
      expect(notes).toEqual([]);
      parts[1 - broken]?.complete();
      expect(notes).toEqual(['broken']);
    }
  });
});
