import {
  NUMBERS_IN_KEYS,
  NUMBERS_IN_PRIORITY,
  dialectOf,
} from '../../../../src/backends/nftables/plan-dialect.ts'
import { wordsOf } from '../../../../src/backends/nftables/plan-words.ts'
import { NftablesPlanner } from '../../../../src/backends/nftables/plan.ts'
import { FAMILIES } from '../../../../src/net/ip.ts'
import { PROTOCOLS } from '../../../../src/net/protocol.ts'
import { aForwarding, aPort } from '../../../support/forwarding-builder.ts'

test.each(['1.0.1', '1.0.2', '1.0.5'])('dialectOf(%s) puts no drawn number into a key', (version) => {
  expect(dialectOf(version)).toBe(NUMBERS_IN_PRIORITY)
})

test.each(['1.0.6', '1.0.6.1', '1.0.10', '1.1.7', '2.0'])('dialectOf(%s) does', (version) => {
  expect(dialectOf(version)).toBe(NUMBERS_IN_KEYS)
})

// What 1.0.2 refuses, or takes and forgets.
test.each(FAMILIES)('an nft before 1.0.6 is told nothing that it cannot do (%s)', (family) => {
  const [ip, pod] = family === 'IPv4' ? ['172.30.0.1', '10.0.0.1:80'] : ['fd00::1', '[fd01::1]:80']
  const ports = PROTOCOLS.flatMap((protocol) => [
    aPort(`ns/${protocol}`, { family, protocol }).clusterIp(ip).nodePort(30080).affinity(60).endpoints(pod),
    aPort(`ns/many-${protocol}`, { family, protocol })
      .clusterIp(ip, 1000, { lastPort: 2000 })
      .affinity(60)
      .endpoints(pod),
  ])
  const options = { family, detector: undefined, masqueradeMark: 0x4000, dropInvalid: true } as const
  const state = new NftablesPlanner(options, wordsOf(family, NUMBERS_IN_PRIORITY)).plan(
    aForwarding(ports, {}, family),
  )
  const objects = [...state.values()].flatMap((fragment) => [...fragment.values()])
  const texts = objects.flatMap((object) => [
    object.text,
    ...(object.kind === 'chain' ? object.rules.map(({ text }) => text) : []),
  ])
  expect(texts.length).toBeGreaterThan(100)
  // Drawn numbers and hashes are for the packet to carry, never part of a key.
  expect(texts.filter((text) => /(?<!meta priority set )(?:numgen|jhash)/.test(text))).toEqual([])
  // A value of several fields, whose types are not those of the key.
  expect(texts.filter((text) => /^map \{.* : \S+ \. /.test(text))).toEqual([])
  // The time of an element of a map.
  expect(texts.filter((text) => /update @\S+ \{[^}]* timeout [^}]* : /.test(text))).toEqual([])
})
