/** The one Service that the README of the iptables backend explains, and what the tools print about it. */
import type { Forwarding } from '../../src/forwarding/forwarding.ts'
import { REJECT, aForwarding, aPort, everyOrigin } from './forwarding-builder.ts'

/** `shop/web` with ClusterIP, NodePort and two endpoints, one of them here; `shop/later` has no endpoints. */
export function exampleForwarding(): Forwarding {
  return aForwarding([
    aPort('shop/web', { port: 'http' })
      .clusterIp('172.30.0.41')
      .nodePort(30080)
      .endpoints('10.180.0.5:8080*', '10.180.1.7:8080'),
    aPort('shop/later').clusterIp('172.30.0.42', 80, { routes: everyOrigin(REJECT) }),
  ])
}

/** The output of `iptables-save -t nat` and `-t filter` without comments, policies and counters, chains sorted. */
export function printedRules(nat: string, filter: string): string {
  return [nat, filter]
    .map((text) => {
      const lines = text.split('\n')
      const rules = lines.filter((line) => line.startsWith('-A'))
      const order = [...new Set(rules.map(chainOf))].sort(byPath)
      const sorted = order.flatMap((chain) => rules.filter((line) => chainOf(line) === chain))
      return [lines.find((line) => line.startsWith('*')), ...sorted, ''].join('\n')
    })
    .join('\n')
}

function chainOf(line: string): string {
  return line.split(' ')[1] ?? ''
}

/** Built-in chains, then entry chains, then our own. */
function byPath(a: string, b: string): number {
  const rank = (name: string) => (name.startsWith('KUBE-') ? 1 : Number(name.startsWith('FL-')) * 2)
  return rank(a) - rank(b) || (a < b ? -1 : 1)
}
