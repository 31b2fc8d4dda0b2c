import { readFileSync } from 'node:fs'
import { IptablesPlanner } from '../../../../src/backends/iptables/plan.ts'
import { exampleForwarding } from '../../../support/iptables-example.ts'
import { iptablesOptions } from '../../../support/iptables-cluster.ts'

const ROOT = `${import.meta.dirname}/../../../..`
const readme = readFileSync(`${ROOT}/src/backends/iptables/README.md`, 'utf8')
const golden = readFileSync(`${ROOT}/test/golden/iptables/one-service.txt`, 'utf8')

test('the README shows the example as the tools print it', () => {
  expect(readme).toContain(`\`\`\`\n${golden}\`\`\``)
})

test('the example holds the digest of every chain that is planned for it', () => {
  const forwarding = exampleForwarding()
  const state = new IptablesPlanner(iptablesOptions('IPv4'), 'ipset').plan(forwarding)
  const chains = [...state.values()]
    .flatMap((fragment) => [...fragment.values()])
    .filter(({ kind }) => kind === 'chain')
  const digests = chains.map(({ text }) => text.split(' ')[0]).filter((text) => text !== 'empty')
  expect(digests.length).toBeGreaterThan(10)
  for (const digest of digests) expect(golden).toContain(`#${digest}"`)
})
