import { KeyIndex } from '../../../src/collections/key-index.ts'
import { keepIdentity, sameValue } from '../../../src/collections/same-value.ts'

describe('sameValue()', () => {
  test.each([
    [1, 1, true],
    [Number.NaN, Number.NaN, true],
    ['a', 'b', false],
    [null, undefined, false],
    [{}, [], false],
    [[], {}, false],
    [[1, { a: 2 }], [1, { a: 2 }], true],
    [[1, 2], [1], false],
    [{ a: 1, b: undefined }, { a: 1 }, false],
    [{ a: undefined }, { b: undefined }, false],
    [{ a: { b: [1] } }, { a: { b: [1] } }, true],
    [{ a: { b: [1] } }, { a: { b: [2] } }, false],
    [null, null, true],
    [null, {}, false],
  ])('sameValue(%j, %j) is %s', (a, b, want) => {
    expect(sameValue(a, b)).toBe(want)
    expect(sameValue(b, a)).toBe(want)
  })

  test('keepIdentity() returns the old object for an equal new one', () => {
    const before = { a: [1] }
    expect(keepIdentity(before, { a: [1] })).toBe(before)
    expect(keepIdentity(before, { a: [2] })).toEqual({ a: [2] })
    expect(keepIdentity(undefined, before)).toBe(before)
  })
})

describe('KeyIndex', () => {
  test('KeyIndex holds any number of keys under a text', () => {
    const index = new KeyIndex()
    for (const key of ['a', 'a', 'b', 'c', 'c']) index.add('x', key)
    expect([...index.get('x')].sort()).toEqual(['a', 'b', 'c'])
    index.delete('x', 'b')
    index.delete('x', 'nobody')
    index.delete('y', 'a')
    expect([...index.get('x')].sort()).toEqual(['a', 'c'])
    index.delete('x', 'a')
    expect(index.get('x')).toEqual(['c'])
    index.delete('x', 'c')
    expect(index.has('x')).toBe(false)
    index.add('x', 'd')
    index.add('x', 'e')
    index.clear('x')
    expect(index.get('x')).toEqual([])
  })
})
