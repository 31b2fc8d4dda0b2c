/** The example of the README is what the tools print, in both variants. */
import { atOnce } from '../../src/collections/sliced.ts'
import { readFileSync } from 'node:fs'
import { createIptablesBackend } from '../../src/backends/iptables/iptables-backend.ts'
import { diffState } from '../../src/netfilter/kernel-state.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { iptablesOptions } from '../support/iptables-cluster.ts'
import { exampleForwarding, printedRules } from '../support/iptables-example.ts'
import { NetNamespace } from '../support/net-namespace.ts'
import { describeKernel } from '../support/skip-reasons.ts'

const GOLDEN = `${import.meta.dirname}/../golden/iptables/one-service.txt`
const signal = new AbortController().signal

describe.each(['legacy', 'nft'] as const)('iptables %s', (variant) => {
  describeKernel('example', ['namespaces', `iptables-${variant}`, 'ipset'], () => {
    test('prints the rules that the README shows', async () => {
      const ns = await NetNamespace.create()
      try {
        const options = iptablesOptions('IPv4')
        const backend = await createIptablesBackend({ options, exec: ns.exec, variant, log: silentLogger })
        const changes = diffState(backend.plan(exampleForwarding()), await backend.observe(signal))
        await backend.apply(atOnce(backend.script(changes)), signal)
        const save = (table: string) => ns.run(`iptables-${variant}-save`, ['-t', table])
        expect(printedRules(await save('nat'), await save('filter'))).toBe(readFileSync(GOLDEN, 'utf8'))
      } finally {
        await ns.close()
      }
    })
  })
})
