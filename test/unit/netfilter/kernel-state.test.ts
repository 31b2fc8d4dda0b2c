import fc from 'fast-check'
import { ShardedMap } from '../../../src/collections/sharded-map.ts'
import {
  diffState,
  emptyState,
  fragmentOf,
  type KernelObject,
  type KernelState,
  objectsOf,
  observedState,
  slicedDiff,
} from '../../../src/netfilter/kernel-state.ts'

/** Objects by key; where a key is found depends on it alone, as the precondition asks. */
function aState(texts: Readonly<Record<string, string>>, fragments: number): KernelState<KernelObject> {
  const objects = Object.entries(texts).map(([key, text]) => ({ kind: 'thing', key, text }))
  const named = Array.from({ length: fragments }, (_, index) => {
    const its = objects.filter(({ key }) => key.length % fragments === index)
    return [`fragment ${index}`, fragmentOf(its)] as const
  })
  return ShardedMap.of(named)
}

const texts = fc.dictionary(fc.string({ maxLength: 3 }), fc.constantFrom('a', 'b'))

test('diffState() is what differs by key, however the objects are grouped', () => {
  fc.assert(
    fc.property(texts, texts, fc.integer({ min: 1, max: 4 }), (want, have, fragments) => {
      const { created, updated, removed } = diffState(aState(want, fragments), aState(have, 1))
      const keys = (objects: readonly KernelObject[]) => objects.map(({ key }) => key).sort()
      expect(keys(created)).toEqual(
        Object.keys(want)
          .filter((key) => !Object.hasOwn(have, key))
          .sort(),
      )
      expect(keys(removed)).toEqual(
        Object.keys(have)
          .filter((key) => !Object.hasOwn(want, key))
          .sort(),
      )
      expect(keys(updated.map(({ to }) => to))).toEqual(
        Object.keys(want)
          .filter((key) => Object.hasOwn(have, key) && want[key] !== have[key])
          .sort(),
      )
    }),
  )
})

test('slicedDiff() pauses in proportion to what differs, in small fragments as in one large one', () => {
  const objects = Array.from({ length: 20_000 }, (_, index) => ({
    kind: 'thing',
    key: `k${index}`,
    text: 't',
  }))
  const pausesOf = (want: KernelState<KernelObject>, have: KernelState<KernelObject>): number =>
    [...slicedDiff(want, have)].length
  const large = observedState(objects)
  const small: KernelState<KernelObject> = ShardedMap.of(
    objects.map((object) => [object.key, fragmentOf([object])]),
  )
  expect(pausesOf(small, emptyState())).toBeGreaterThanOrEqual(10)
  expect(pausesOf(emptyState(), large)).toBeGreaterThanOrEqual(10)
  expect(pausesOf(small.with([['k7', undefined]]), small)).toBe(0)
  expect(objectsOf(small)).toHaveLength(objects.length)
})
