import fc from 'fast-check'
import { WatchError } from '../../../src/watch/watch-error.ts'
import { decodeFrame, FrameSplitter } from '../../../src/watch/watch-stream.ts'

function split(chunks: readonly Buffer[]): string[] {
  const splitter = new FrameSplitter()
  const lines = chunks.flatMap((chunk) => splitter.push(chunk))
  splitter.end()
  return lines
}

describe('FrameSplitter', () => {
  const text = '{"a":"Zürich 漢字 🚀"}\n\n{"b":1}\r\n'

  test('FrameSplitter gives the same lines wherever the chunks are cut', () => {
    const bytes = Buffer.from(text)
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(split([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual([
        '{"a":"Zürich 漢字 🚀"}',
        '{"b":1}',
      ])
    }
    expect(split([...bytes].map((byte) => Buffer.from([byte])))).toHaveLength(2)
  })

  test('FrameSplitter gives back every JSON text, however it is cut', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 })
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { maxLength: 5 }), cuts, (values, sizes) => {
        const bytes = Buffer.from(values.map((value) => `${JSON.stringify({ value })}\n`).join(''))
        const chunks: Buffer[] = []
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = sizes[turn % sizes.length]!
          chunks.push(bytes.subarray(at, at + size))
          at += size
        }
        expect(split(chunks)).toEqual(values.map((value) => JSON.stringify({ value })))
      }),
    )
  })

  test.each<[string, () => unknown]>([
    ['ends inside a line', () => split([Buffer.from('{"a":1')])],
    ['is not UTF-8', () => split([Buffer.from([0x7b, 0xff, 0x7d, 0x0a])])],
    [
      'has no line end for 16 MiB',
      () => split(Array.from({ length: 17 }, () => Buffer.alloc(1024 * 1024, 'x'))),
    ],
  ])('FrameSplitter refuses a stream that %s', (_, read) => {
    expect(read).toThrow(expect.objectContaining({ name: 'WatchError', code: 'protocol' }))
  })
})

describe('decodeFrame', () => {
  const object = { metadata: { name: 'a', resourceVersion: '12' } }

  test.each(['ADDED', 'MODIFIED', 'DELETED'])('decodeFrame reads %s', (type) => {
    expect(decodeFrame(JSON.stringify({ type, object }))).toEqual({ type, object, resourceVersion: '12' })
  })

  test.each([
    [undefined, false],
    [{}, false],
    [{ 'k8s.io/initial-events-end': 'true' }, true],
    [{ 'k8s.io/initial-events-end': 'false' }, false],
  ])('decodeFrame reads a bookmark with annotations %j', (annotations, initialEventsEnd) => {
    const line = JSON.stringify({
      type: 'BOOKMARK',
      object: { metadata: { resourceVersion: '3', annotations } },
    })
    expect(decodeFrame(line)).toEqual({ type: 'BOOKMARK', resourceVersion: '3', initialEventsEnd })
  })

  test('decodeFrame hands the Status of an ERROR on', () => {
    expect(decodeFrame('{"type":"ERROR","object":{"code":410}}')).toEqual({
      type: 'ERROR',
      status: { code: 410 },
    })
  })

  test.each([
    'nonsense',
    '[]',
    '"ADDED"',
    'null',
    '{}',
    '{"type":7}',
    '{"type":"OTHER","object":{}}',
    '{"type":"ADDED"}',
    '{"type":"ADDED","object":[]}',
    '{"type":"ADDED","object":{"metadata":{"resourceVersion":7}}}',
    '{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":""}}}',
  ])('decodeFrame refuses %s', (line) => {
    expect(() => decodeFrame(line)).toThrow(WatchError)
  })

  test('decodeFrame shows foreign text in one harmless line', () => {
    expect(() => decodeFrame('\u001b[31m\u202e<html>')).toThrow(
      /^Cannot read the watch: a frame is not JSON \(\[31m <html>\); it is listed anew$/,
    )
  })
})
