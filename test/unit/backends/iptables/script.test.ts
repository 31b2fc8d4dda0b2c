import { atOnce } from '../../../../src/collections/sliced.ts'
import type { BackendObject } from '../../../../src/backends/iptables/objects.ts'
import { IptablesPlanner } from '../../../../src/backends/iptables/plan.ts'
import { restoreText, scriptFor } from '../../../../src/backends/iptables/script.ts'
import type { Forwarding } from '../../../../src/forwarding/forwarding.ts'
import { chain } from '../../../../src/netfilter/iptables/chain.ts'
import {
  type KernelState,
  diffState,
  emptyState,
  observedState,
} from '../../../../src/netfilter/kernel-state.ts'
import { REJECT, aForwarding, aPort, everyOrigin } from '../../../support/forwarding-builder.ts'
import { iptablesOptions, plainServices, wholeCluster } from '../../../support/iptables-cluster.ts'

function plan(forwarding: Forwarding): KernelState<BackendObject> {
  return new IptablesPlanner(iptablesOptions(forwarding.family), 'ipset').plan(forwarding)
}

/** The tables of the blocks in order, each with the lines that match. */
function blocks(text: string, pattern: RegExp): string[] {
  return text
    .split('COMMIT\n')
    .filter((block) => block !== '')
    .map((block) => {
      const [table = '', ...lines] = block.trim().split('\n')
      return [table, ...lines.filter((line) => pattern.test(line))].join(' | ')
    })
}

const up = aPort('ns/web').clusterIp('172.30.0.1').endpoints('10.0.0.1:80')
const down = aPort('ns/web').clusterIp('172.30.0.1', 80, { routes: everyOrigin(REJECT) })
const otherUp = aPort('ns/other').clusterIp('172.30.0.2').endpoints('10.0.0.2:80')
const otherDown = aPort('ns/other').clusterIp('172.30.0.2', 80, { routes: everyOrigin(REJECT) })

function between(from: Forwarding, to: Forwarding): string {
  return atOnce(restoreText(diffState(plan(to), plan(from))))
}

test('restoreText() of no change is empty', () => {
  const state = plan(wholeCluster('IPv4'))
  expect(atOnce(restoreText(diffState(state, state)))).toBe('')
})

test('restoreText() translates before it stops refusing', () => {
  const text = between(aForwarding([down]), aForwarding([up]))
  expect(blocks(text, /-A|^:FL-U/)).toEqual([
    expect.stringMatching(/^\*nat \| .*-d 172\.30\.0\.1\/32/),
    '*filter | :FL-UNANSWERED - [0:0]',
  ])
})

test('restoreText() refuses before it stops translating', () => {
  const text = between(aForwarding([up]), aForwarding([down]))
  expect(blocks(text, /172\.30|^-X/)).toEqual([
    expect.stringMatching(/^\*filter \| -A FL-UNANSWERED .*-j FL-REJECT$/),
    expect.stringMatching(/^\*nat \| -X FL-C-/),
  ])
})

test('restoreText() writes filter around nat when one Service comes and another goes', () => {
  const text = between(aForwarding([up, otherDown]), aForwarding([down, otherUp]))
  const [before, nat, after, ...rest] = blocks(text, /UNANSWERED/)
  expect(before).toMatch(/^\*filter \| -A FL-UNANSWERED .*172\.30\.0\.1\/32 .*REJECT$/)
  expect(before).not.toContain(':FL-UNANSWERED')
  expect(nat).toBe('*nat')
  expect(after).toMatch(
    /^\*filter \| :FL-UNANSWERED - \[0:0\] \| -A FL-UNANSWERED .*172\.30\.0\.1\/32 .*REJECT$/,
  )
  expect(rest).toEqual([])
})

test('restoreText() keeps what a chain of unknown content refuses until nat is written', () => {
  const unknown = {
    ...chain('filter', 'KUBE-SERVICES', { label: '', rules: [] }),
    text: 'unmarked 9',
    rules: undefined,
  }
  const have = observedState<BackendObject>([unknown])
  const text = atOnce(restoreText(diffState(plan(aForwarding([up])), have)))
  const [before, , after] = blocks(text, /KUBE-SERVICES/)
  expect(before).toContain('-A KUBE-SERVICES')
  expect(before).not.toContain(':KUBE-SERVICES')
  expect(after).toContain(':KUBE-SERVICES - [0:0]')
})

test('restoreText() writes only filter when nat stays', () => {
  expect(blocks(between(aForwarding([]), aForwarding([down])), /^$/)).toEqual(['*filter'])
})

test('restoreText() empties and deletes what is left over', () => {
  const text = between(aForwarding([up, otherUp]), aForwarding([up]))
  const gone = /^-X (FL-C-\S+)$/m.exec(text)?.[1] ?? ''
  expect(text).toContain(`:${gone} - [0:0]\n`)
  expect(text.indexOf(`:${gone}`)).toBeLessThan(text.indexOf(`-X ${gone}`))
})

test('restoreText() moves a shadowed jump to the front', () => {
  const want = plan(aForwarding([]))
  const objects = [...want.values()].flatMap((fragment) => [...fragment.values()])
  const shadowed = objects.map((object) =>
    object.kind === 'shared-rule' && object.chain === 'PREROUTING'
      ? { ...object, text: 'behind "-j ACCEPT"' }
      : object,
  )
  expect(atOnce(restoreText(diffState(want, observedState(shadowed))))).toBe(`*nat
-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I PREROUTING 1 -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
COMMIT
`)
})

test('scriptFor() makes sets before rules and removes them after', () => {
  const sticky = aForwarding([up.affinity(60), otherUp])
  const other = aForwarding([up, otherUp.affinity(60)])
  const script = atOnce(scriptFor(diffState(plan(other), plan(sticky)), 'iptables-nft-restore'))
  expect(script.map(({ file, stdin }) => `${file} ${stdin.split(' ')[0]!.split('\n')[0]}`)).toEqual([
    'ipset create',
    'iptables-nft-restore *nat',
    'ipset destroy',
  ])
})

test('scriptFor() opens loopback after the guard is written', () => {
  const script = atOnce(
    scriptFor(diffState(plan(aForwarding([], { localhostNodePorts: true })), emptyState()), 'restore'),
  )
  expect(script.map(({ file, args }) => [file, ...args].join(' '))).toEqual([
    'ipset -exist restore',
    'restore -w 5 --noflush',
    'tee /proc/sys/net/ipv4/conf/all/route_localnet',
  ])
  expect(script[1]!.stdin).toContain('block incoming localnet connections')
})

test('scriptFor() never removes the chain that kubelet shares, nor the setting', () => {
  const local = aForwarding(plainServices('IPv4', 0, 3), { localhostNodePorts: true })
  const script = atOnce(scriptFor(diffState(emptyState(), plan(local)), 'restore'))
  const text = script.map(({ stdin }) => stdin).join('')
  expect(text).not.toMatch(/-X KUBE-FIREWALL|:KUBE-FIREWALL/)
  expect(script.map(({ file }) => file)).toEqual(['restore', 'ipset'])
})
