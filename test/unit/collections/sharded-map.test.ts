import fc from 'fast-check'
import { ShardedMap } from '../../../src/collections/sharded-map.ts'

const changes = fc.array(fc.tuple(fc.string(), fc.option(fc.integer(), { nil: undefined })))

test('ShardedMap behaves as Map does, and never changes the map it came from', () => {
  fc.assert(
    fc.property(changes, changes, (first, second) => {
      const model = new Map<string, number>()
      const put = (list: typeof first) =>
        list.forEach(([key, value]) => (value === undefined ? model.delete(key) : model.set(key, value)))
      put(first)
      const before = ShardedMap.empty<string, number>().with(first)
      const copy = new Map(before)
      put(second)
      const after = before.with(second)
      expect(new Map(after)).toEqual(model)
      expect(after.size).toBe(model.size)
      expect(new Map(before)).toEqual(copy)
    }),
  )
})

test('ShardedMap.changesTo() names exactly the keys that differ', () => {
  fc.assert(
    fc.property(changes, changes, (first, second) => {
      const a = ShardedMap.empty<string, number>().with(first)
      const b = a.with(second)
      const told = new Map([...a.changesTo(b)].map(({ key, from, to }) => [key, [from, to]]))
      const keys = new Set([...a.keys(), ...b.keys()])
      const differing = [...keys].filter((key) => a.get(key) !== b.get(key))
      expect(told).toEqual(new Map(differing.map((key) => [key, [a.get(key), b.get(key)]])))
      expect([...b.changesTo(b)]).toEqual([])
    }),
  )
})

test('ShardedMap.with() returns the map itself when nothing differs', () => {
  const map = ShardedMap.of<string, number>([['a', 1]])
  expect(
    map.with([
      ['a', 1],
      ['b', undefined],
    ]),
  ).toBe(map)
})
