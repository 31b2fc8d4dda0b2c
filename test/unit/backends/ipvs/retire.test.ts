import type { IpvsObject } from '../../../../src/backends/ipvs/plan-port.ts'
import { leavingObjects } from '../../../../src/backends/ipvs/retire.ts'
import { chain } from '../../../../src/netfilter/iptables/chain.ts'
import { ipSet, setElement } from '../../../../src/netfilter/ipset/ipset.ts'
import { boundAddress, dummyDevice, localRoute } from '../../../../src/netfilter/ipvs/local-route.ts'
import {
  markSelector,
  realServer,
  realServerKey,
  virtualServer,
} from '../../../../src/netfilter/ipvs/virtual-server.ts'
import { anIp } from '../../../support/forwarding-builder.ts'

const WEB = '-t 172.30.0.1:80'
const DNS = '-u 172.30.0.2:53'
const NODE_PORT = '-t 192.168.0.2:30080'
const MARKED = markSelector(0x60000001, 'IPv4')
const POD = '10.0.0.1:8080'

function objects(...selectors: readonly string[]): IpvsObject[] {
  return [
    ...selectors.flatMap((selector) => [
      virtualServer(selector, { scheduler: 'rr', persistentSeconds: undefined }),
      realServer(selector, POD, { weight: 1, drainSeconds: undefined }),
    ]),
    localRoute(anIp('172.30.0.1'), undefined),
    boundAddress(anIp('172.30.0.2')),
    ipSet('KUBE-CLUSTER-IP', 'hash:ip,port', { family: 'IPv4' }),
    setElement('KUBE-CLUSTER-IP', '172.30.0.1,tcp:80'),
    dummyDevice('kube-ipvs0'),
    chain('nat', 'KUBE-SERVICES', { label: 'services', rules: [] }),
  ]
}

function leaving(selectors: readonly string[], ...busy: readonly string[]) {
  const open = new Map(selectors.map((one) => [realServerKey(one, POD), busy.includes(one) ? 3 : 0]))
  const { removed, waiting } = leavingObjects(objects(...selectors), open)
  return { kinds: removed.map(({ key }) => key), waiting }
}

describe('leavingObjects()', () => {
  test('lets everything but rules go when no connection is open', () => {
    expect(leaving([WEB, DNS])).toEqual({
      kinds: [
        `virtual ${WEB}`,
        `real ${WEB} ${POD}`,
        `virtual ${DNS}`,
        `real ${DNS} ${POD}`,
        'local 172.30.0.1',
        'bound 172.30.0.2',
        ...objects()
          .filter(({ kind }) => kind === 'set' || kind === 'element')
          .map(({ key }) => key),
      ],
      waiting: 0,
    })
  })

  test('keeps a virtual server with open connections, its address and the record of what is ours', () => {
    expect(leaving([WEB, DNS], WEB)).toEqual({
      kinds: [`virtual ${DNS}`, `real ${DNS} ${POD}`, 'bound 172.30.0.2'],
      waiting: 1,
    })
  })

  test('keeps no address for a NodePort', () => {
    const { kinds, waiting } = leaving([WEB, NODE_PORT], NODE_PORT)
    expect(waiting).toBe(1)
    expect(kinds).toEqual(expect.arrayContaining(['local 172.30.0.1', 'bound 172.30.0.2']))
  })

  test('keeps all addresses for a mark, which does not tell which one it stands for', () => {
    expect(leaving([WEB, MARKED], MARKED)).toEqual({
      kinds: [`virtual ${WEB}`, `real ${WEB} ${POD}`],
      waiting: 1,
    })
  })
})
