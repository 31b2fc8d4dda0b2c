import fc from 'fast-check'
import { ListScanner } from '../../../src/watch/list-stream.ts'

function scan(text: string, size = 1_000_000) {
  const scanner = new ListScanner()
  const bytes = Buffer.from(text)
  const objects: unknown[] = []
  for (let at = 0; at < bytes.length; at += size) objects.push(...scanner.push(bytes.subarray(at, at + size)))
  return { objects, ...scanner.end() }
}

const METADATA = { resourceVersion: '9', continue: 'more' }

describe('ListScanner', () => {
  test.each([
    ['metadata first', { kind: 'ServiceList', metadata: METADATA, items: [{ a: 1 }, { b: [{ c: {} }] }] }],
    [
      'metadata last',
      { items: [{ a: 1 }, { b: [{ c: {} }] }], metadata: METADATA, more: [[1], { items: [2] }] },
    ],
    ['arrays before', { other: ['items', [{}]], items: [{ a: 1 }, { b: [{ c: {} }] }], metadata: METADATA }],
  ])('ListScanner gives the items of a list with %s, wherever the chunks are cut', (_, list) => {
    for (const text of [JSON.stringify(list), JSON.stringify(list, null, 2)]) {
      for (let size = 1; size <= text.length; size++) {
        expect(scan(text, size)).toEqual({
          objects: [{ a: 1 }, { b: [{ c: {} }] }],
          resourceVersion: '9',
          continueToken: 'more',
        })
      }
    }
  })

  test('ListScanner agrees with JSON.parse on every list', () => {
    const items = fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { maxLength: 6 })
    fc.assert(
      fc.property(items, fc.integer({ min: 1, max: 40 }), (objects, size) => {
        const text = JSON.stringify({ metadata: { resourceVersion: '1' }, items: objects })
        const expected: unknown = JSON.parse(JSON.stringify(objects))
        expect(scan(text, size)).toEqual({
          objects: expected,
          resourceVersion: '1',
          continueToken: undefined,
        })
      }),
    )
  })

  test.each(['[]', 'null'])('ListScanner takes "items": %s for an empty list', (items) => {
    expect(scan(`{"metadata":{"resourceVersion":"1"},"items":${items}}`).objects).toEqual([])
  })

  test('ListScanner gives an object as soon as it is complete', () => {
    const scanner = new ListScanner()
    expect(scanner.push(Buffer.from('{"items":[{"a":1},{"b"'))).toEqual([{ a: 1 }])
    expect(scanner.push(Buffer.from(':2}'))).toEqual([{ b: 2 }])
  })

  test.each([
    ['nothing', ''],
    ['HTML', '<html>'],
    ['an array', '[{"items":[]}]'],
    ['no version', '{"metadata":{},"items":[]}'],
    ['no items', '{"metadata":{"resourceVersion":"1"}}'],
    ['a number among the items', '{"metadata":{"resourceVersion":"1"},"items":[1]}'],
    ['a string among the items', '{"metadata":{"resourceVersion":"1"},"items":["a"]}'],
    ['an array among the items', '{"metadata":{"resourceVersion":"1"},"items":[[]]}'],
    ['a broken item', '{"metadata":{"resourceVersion":"1"},"items":[{"a":}]}'],
    ['an end inside an item', '{"metadata":{"resourceVersion":"1"},"items":[{"a":1'],
    ['an end after the items', '{"metadata":{"resourceVersion":"1"},"items":[{"a":1}]'],
    ['something after the end', '{"metadata":{"resourceVersion":"1"},"items":[]} {}'],
    ['one brace too many', '{"metadata":{"resourceVersion":"1"},"items":[]}}'],
  ])('ListScanner refuses %s', (_, text) => {
    expect(() => scan(text)).toThrow(expect.objectContaining({ name: 'WatchError', code: 'protocol' }))
  })

  test('ListScanner refuses an item that is not UTF-8', () => {
    const scanner = new ListScanner()
    expect(() => scanner.push(Buffer.from('{"items":[{"a":"\xff"}', 'latin1'))).toThrow(/not UTF-8/)
  })
})
