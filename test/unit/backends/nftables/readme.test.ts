import { readFileSync } from 'node:fs'
import { NUMBERS_IN_KEYS } from '../../../../src/backends/nftables/plan-dialect.ts'
import { wordsOf } from '../../../../src/backends/nftables/plan-words.ts'
import { NftablesPlanner } from '../../../../src/backends/nftables/plan.ts'
import { commentOf } from '../../../../src/netfilter/nftables/ruleset.ts'
import type { Cidr } from '../../../../src/net/cidr.ts'
import { NODE_PORT_RANGE } from '../../../support/forwarding-builder.ts'
import { exampleForwarding } from '../../../support/iptables-example.ts'

const ROOT = `${import.meta.dirname}/../../../..`
const readme = readFileSync(`${ROOT}/src/backends/nftables/README.md`, 'utf8')
const golden = readFileSync(`${ROOT}/test/golden/nftables/one-service.txt`, 'utf8')
const OPTIONS = {
  family: 'IPv4',
  detector: { by: 'source', cidr: '10.0.0.0/8' as Cidr },
  masqueradeMark: 0x4000,
  dropInvalid: true,
  nodePortRange: NODE_PORT_RANGE,
} as const

test('the README shows the example as nft prints it', () => {
  expect(readme).toContain(`\`\`\`\n${golden}\`\`\``)
})

test('the example holds every chain and every rule that is planned for it', () => {
  const state = new NftablesPlanner(OPTIONS, wordsOf(OPTIONS.family, NUMBERS_IN_KEYS)).plan(
    exampleForwarding(),
  )
  const objects = [...state.values()].flatMap((fragment) => [...fragment.values()])
  const chains = objects.filter((object) => object.kind === 'chain')
  expect(chains.length).toBeGreaterThan(20)
  for (const { name, rules } of chains) {
    expect(golden).toContain(`\tchain ${name} {`)
    for (const rule of rules) expect(golden).toContain(`comment "${commentOf(rule)}"`)
  }
})
