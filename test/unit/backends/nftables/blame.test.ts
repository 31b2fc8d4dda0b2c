import { blamedPort } from '../../../../src/backends/nftables/blame.ts'
import { NUMBERS_IN_KEYS, NUMBERS_IN_PRIORITY } from '../../../../src/backends/nftables/plan-dialect.ts'
import { wordsOf } from '../../../../src/backends/nftables/plan-words.ts'
import { NftablesPlanner } from '../../../../src/backends/nftables/plan.ts'
import { scriptFor } from '../../../../src/backends/nftables/script.ts'
import { atOnce } from '../../../../src/collections/sliced.ts'
import { diffState, observedState } from '../../../../src/netfilter/kernel-state.ts'
import { aForwarding, aPort } from '../../../support/forwarding-builder.ts'

const OPTIONS = { family: 'IPv4', detector: undefined, masqueradeMark: 0x4000, dropInvalid: true } as const
// The port of one is the beginning of the other's, and an endpoint is the address of a Service.
const FORWARDING = aForwarding([
  aPort('ns/a').clusterIp('172.30.0.2', 8).nodePort(30001).endpoints('10.0.0.1:80', '10.0.0.2:80'),
  aPort('ns/b').clusterIp('172.30.0.2', 80).nodePort(30002).affinity(60).endpoints('172.30.0.2:8'),
  aPort('ns/c', { protocol: 'UDP' }).clusterIp('172.30.0.2', 80).endpoints('10.0.0.1:80'),
])

const OWNERS = [
  ['endpoints-tcp', '172.30.0.2 . 8 . 1', 'ns/a:/TCP'],
  ['endpoints-tcp', '172.30.0.2 . 80 . 0', 'ns/b:/TCP'],
  ['endpoints-udp', '172.30.0.2 . 80 . 0', 'ns/c:/UDP'],
  ['nodeport-endpoints-tcp', '30001 . 0', 'ns/a:/TCP'],
  ['service-ips', '172.30.0.2 . 6 . 8', 'ns/a:/TCP'],
  ['service-ips', '172.30.0.2 . 17 . 80', 'ns/c:/UDP'],
  ['affinity-endpoints', '172.30.0.2 . 6 . 80 . 172.30.0.2', 'ns/b:/TCP'],
] as const
const PORT_OWNERS = [
  ['endpoint-ports-tcp', '172.30.0.2 . 8 . 1', 'ns/a:/TCP'],
  ['endpoint-ports-udp', '172.30.0.2 . 80 . 0', 'ns/c:/UDP'],
  ['nodeport-endpoint-ports-tcp', '30002 . 0', 'ns/b:/TCP'],
] as const

test.each([
  ...OWNERS.map((row) => [...row, NUMBERS_IN_KEYS] as const),
  ...[...OWNERS, ...PORT_OWNERS].map((row) => [...row, NUMBERS_IN_PRIORITY] as const),
])('blamedPort() says whose element of %s %s is: %s', (container, key, owner, dialect) => {
  const state = new NftablesPlanner(OPTIONS, wordsOf('IPv4', dialect)).plan(FORWARDING)
  const steps = atOnce(scriptFor(diffState(state, observedState([])), { family: 'ip', name: 'kube-proxy' }))
  const script = steps.map(({ stdin }) => stdin).join('')
  const lines = script.split('\n')
  const row = lines.findIndex((line) => line.startsWith(`add element ip kube-proxy ${container} `))
  const column = lines[row]?.indexOf(` ${key} : `) ?? -1
  expect(column).toBeGreaterThan(0)
  // nft counts lines and columns from 1, and the blank is not part of the element.
  const stderr = `/dev/stdin:${row + 1}:${column + 2}-${column + 9}: Error: Could not process rule: File exists\n`
  expect(blamedPort({ script, stderr }, FORWARDING)).toBe(owner)
})
