/** Laws of the nftables planner over random sequences of decisions. */
import { atOnce } from '../../src/collections/sliced.ts'
import fc from 'fast-check'
import type { BackendObject } from '../../src/backends/nftables/plan-node.ts'
import { NUMBERS_IN_KEYS, NUMBERS_IN_PRIORITY } from '../../src/backends/nftables/plan-dialect.ts'
import { wordsOf } from '../../src/backends/nftables/plan-words.ts'
import { NftablesPlanner } from '../../src/backends/nftables/plan.ts'
import { scriptFor } from '../../src/backends/nftables/script.ts'
import type { Cidr } from '../../src/net/cidr.ts'
import { diffState, isEmpty, type KernelState, observedState } from '../../src/netfilter/kernel-state.ts'
import { portSequences, stepsOf } from '../support/port-sequences.ts'

const OPTIONS = {
  family: 'IPv4',
  detector: { by: 'source', cidr: '10.0.0.0/8' as Cidr },
  masqueradeMark: 0x4000,
  dropInvalid: true,
} as const
const TABLE = { family: 'ip', name: 'kube-proxy' } as const

const sequence = portSequences('IPv4')

function objectsOf(state: KernelState<BackendObject>): ReadonlyMap<string, BackendObject> {
  const objects = new Map<string, BackendObject>()
  for (const fragment of state.values())
    for (const [key, object] of fragment) {
      if (objects.has(key)) throw new Error(`Two fragments hold ${key}`)
      objects.set(key, object)
    }
  return objects
}

/** Keys of the objects that an object's text refers to. */
function namedBy(object: BackendObject): readonly string[] {
  const text = object.kind === 'chain' ? object.rules.map((rule) => rule.text).join('\n') : object.text
  if (object.kind !== 'chain' && object.kind !== 'element') return []
  const chains = [...text.matchAll(/(?:goto|jump) ([a-z0-9-]+)/g)].map(([, name = '']) => `chain/${name}`)
  const sets = [...text.matchAll(/@([a-z-]+)/g)].map(([, name = '']) => `container/${name}`)
  return [...chains, ...sets]
}

test('NftablesPlanner.plan() says the same whether it came step by step or at once, one object per key', () => {
  fc.assert(
    fc.property(sequence, (changes) => {
      const planner = new NftablesPlanner(OPTIONS, wordsOf(OPTIONS.family, NUMBERS_IN_KEYS))
      for (const forwarding of stepsOf(changes)) {
        const state = planner.plan(forwarding)
        expect(objectsOf(state)).toEqual(
          objectsOf(new NftablesPlanner(OPTIONS, wordsOf(OPTIONS.family, NUMBERS_IN_KEYS)).plan(forwarding)),
        )
        expect(isEmpty(diffState(planner.plan(forwarding), state))).toBe(true)
      }
    }),
    { numRuns: 25 },
  )
})

test('NftablesPlanner.plan() names no chain and no set that is not planned', () => {
  fc.assert(
    fc.property(sequence, fc.constantFrom(NUMBERS_IN_KEYS, NUMBERS_IN_PRIORITY), (changes, dialect) => {
      const planner = new NftablesPlanner(OPTIONS, wordsOf(OPTIONS.family, dialect))
      for (const forwarding of stepsOf(changes)) {
        const objects = objectsOf(planner.plan(forwarding))
        const missing = [...objects.values()].flatMap(namedBy).filter((key) => !objects.has(key))
        expect(missing).toEqual([])
      }
    }),
    { numRuns: 25 },
  )
})

test('scriptFor() writes what differs and nothing else, and nothing when nothing differs', () => {
  fc.assert(
    fc.property(sequence, (changes) => {
      const planner = new NftablesPlanner(OPTIONS, wordsOf(OPTIONS.family, NUMBERS_IN_KEYS))
      let have = observedState<BackendObject>([])
      for (const forwarding of stepsOf(changes)) {
        const want = planner.plan(forwarding)
        const difference = diffState(want, have)
        const steps = atOnce(scriptFor(difference, TABLE))
        expect(steps.length === 0).toBe(isEmpty(difference))
        expect(steps.length).toBeLessThanOrEqual(3)
        const text = steps.map(({ stdin }) => stdin).join('')
        const elements = difference.created.filter(({ kind }) => kind === 'element')
        const forgotten = elements.filter(({ key }) => !text.includes(key.slice(key.indexOf(' ') + 1)))
        expect(forgotten).toEqual([])
        expect(atOnce(scriptFor(diffState(want, want), TABLE))).toEqual([])
        have = want
      }
    }),
    { numRuns: 25 },
  )
})
