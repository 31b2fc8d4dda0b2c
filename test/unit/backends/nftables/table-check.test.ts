import { TableCheck } from '../../../../src/backends/nftables/table-check.ts'
import type { TableContents } from '../../../../src/kernel/nf-tables.ts'
import { observedState } from '../../../../src/netfilter/kernel-state.ts'
import { aChain, aContainer, anElement } from '../../../../src/netfilter/nftables/ruleset.ts'
import { ManualClock } from '../../../support/manual-clock.ts'

const BELIEVED = observedState([
  aContainer('ips', 'set { type ipv4_addr; }'),
  aContainer('affinity', 'map { type ipv4_addr : ipv4_addr; }'),
  anElement('ips', '10.0.0.1'),
  anElement('ips', '10.0.0.2'),
  aChain('services', [{ text: 'accept', note: 'all' }]),
])

const INTACT: TableContents = {
  rules: new Map([['services', 1]]),
  elements: new Map([
    ['ips', 2],
    ['affinity', 0],
  ]),
}

function setUp() {
  const clock = new ManualClock()
  const kernel = { contents: INTACT, asked: 0, foreign: false, costMs: 0 }
  const check = new TableCheck({
    table: 'ip kube-proxy',
    clock,
    foreign: {
      ownWrites: async (write) => write(),
      happened: async () => Promise.resolve(kernel.foreign),
    },
    tables: {
      contents: async (_table, isCounted) => {
        expect([isCounted('ips'), isCounted('affinity')]).toEqual([true, false])
        kernel.asked++
        await clock.advance(kernel.costMs)
        return kernel.contents
      },
    },
  })
  return { clock, kernel, check }
}

test('drift() does not ask the kernel while nobody else writes', async () => {
  const { check, kernel } = setUp()
  expect(await check.drift(BELIEVED)).toBeUndefined()
  expect(kernel.asked).toBe(0)
})

test('drift() counts after a foreign transaction, once when all is in place', async () => {
  const { check, kernel } = setUp()
  kernel.foreign = true
  expect(await check.drift(BELIEVED)).toBeUndefined()
  kernel.foreign = false
  expect(await check.drift(BELIEVED)).toBeUndefined()
  expect(kernel.asked).toBe(1)
})

test.each<[string, Partial<TableContents>, string]>([
  ['a missing chain', { rules: new Map() }, 'chain services is missing'],
  ['a flushed chain', { rules: new Map([['services', 0]]) }, 'chain services has 0 rules instead of 1'],
  ['a chain too many', { rules: new Map([...INTACT.rules, ['x', 0]]) }, 'chain x is not ours'],
  [
    'a missing element',
    { elements: new Map([...INTACT.elements, ['ips', 1]]) },
    'set ips has 1 elements instead of 2',
  ],
  ['a missing set', { elements: new Map([['ips', 2]]) }, 'set affinity is missing'],
])('drift() tells %s, again until it is mended', async (_what, harm, told) => {
  const { check, kernel } = setUp()
  kernel.foreign = true
  kernel.contents = { ...INTACT, ...harm }
  expect(await check.drift(BELIEVED)).toEqual({ what: `table ip kube-proxy: ${told}` })
  kernel.foreign = false
  expect(await check.drift(BELIEVED)).toEqual({ what: `table ip kube-proxy: ${told}` })
  kernel.contents = INTACT
  expect(await check.drift(BELIEVED)).toBeUndefined()
})

test('drift() waits until it is known what should be there', async () => {
  const { check, kernel } = setUp()
  kernel.foreign = true
  expect(await check.drift(undefined)).toBeUndefined()
  kernel.foreign = false
  kernel.contents = { ...INTACT, rules: new Map() }
  expect(await check.drift(BELIEVED)).toBeDefined()
})

test('drift() does not count all the time where others write all the time', async () => {
  const { check, kernel, clock } = setUp()
  Object.assign(kernel, { foreign: true, costMs: 100 })
  await check.drift(BELIEVED)
  await check.drift(BELIEVED)
  expect(kernel.asked).toBe(1)
  await clock.advance(2000)
  await check.drift(BELIEVED)
  expect(kernel.asked).toBe(2)
})
