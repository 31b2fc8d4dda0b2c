import { atOnce } from '../../../../src/collections/sliced.ts'
import { blamedKey } from '../../../../src/backends/ipvs/blame.ts'
import { DrainList } from '../../../../src/backends/ipvs/drain.ts'
import { scriptFor } from '../../../../src/backends/ipvs/script.ts'
import type { IpvsObject } from '../../../../src/backends/ipvs/plan-port.ts'
import { chain, sharedRule } from '../../../../src/netfilter/iptables/chain.ts'
import { ipSet, ipSetAs, setElement } from '../../../../src/netfilter/ipset/ipset.ts'
import { boundAddress, dummyDevice, localRoute } from '../../../../src/netfilter/ipvs/local-route.ts'
import { realServer, realServerKey, virtualServer } from '../../../../src/netfilter/ipvs/virtual-server.ts'
import type { Changes } from '../../../../src/netfilter/kernel-state.ts'
import { anIp } from '../../../support/forwarding-builder.ts'

const NOTHING: Changes<IpvsObject> = { created: [], updated: [], removed: [] }
const VIRTUAL = '-t 172.30.0.1:80'
const plain = { scheduler: 'rr', persistentSeconds: undefined }

function steps(changes: Partial<Changes<IpvsObject>>, draining: readonly string[] = []): [string, string][] {
  const context = { family: 'IPv4', restoreProgram: 'iptables-restore', draining: new Set(draining) } as const
  return atOnce(scriptFor({ ...NOTHING, ...changes }, context)).map(({ file, stdin }) => [file, stdin])
}

function server(ip: string, weight = 1, drainSeconds?: number) {
  return realServer(VIRTUAL, `${ip}:80`, { weight, drainSeconds })
}

describe('scriptFor()', () => {
  test('says nothing when nothing changes', () => {
    expect(steps({})).toEqual([])
  })

  test('makes sets, rules, servers and addresses in this order', () => {
    const created: IpvsObject[] = [
      localRoute(anIp('172.30.0.1'), anIp('192.168.0.2')),
      dummyDevice('kube-ipvs0'),
      server('10.0.0.1'),
      virtualServer(VIRTUAL, plain),
      chain('mangle', 'FL-GUARD', { label: 'guard', rules: ['-j DROP'] }),
      sharedRule('mangle', 'INPUT', '-j FL-GUARD'),
      setElement('S', '172.30.0.1,tcp:80'),
      ipSet('S', 'hash:ip,port', { family: 'IPv4' }),
    ]
    expect(steps({ created })).toEqual([
      ['ipset', 'create S hash:ip,port family inet maxelem 1048576\nadd S 172.30.0.1,tcp:80\n'],
      ['iptables-restore', expect.stringContaining('-I INPUT 1 -j FL-GUARD')],
      ['ipvsadm', '-A -t 172.30.0.1:80 -s rr\n-a -t 172.30.0.1:80 -r 10.0.0.1:80 -m -w 1\n'],
      [
        'ip',
        'link add kube-ipvs0 type dummy\nlink set kube-ipvs0 addrgenmode none\nlink set kube-ipvs0 up\n',
      ],
      ['ip', 'route replace local 172.30.0.1/32 dev kube-ipvs0 table local src 192.168.0.2\n'],
    ])
  })

  test('changes rules after servers and addresses when somebody else translates until then', () => {
    const created: IpvsObject[] = [
      localRoute(anIp('172.30.0.1'), undefined),
      virtualServer(VIRTUAL, plain),
      chain('nat', 'KUBE-SERVICES', { label: 'portals', rules: ['-j RETURN'] }),
    ]
    const removed: IpvsObject[] = [
      chain('nat', 'KUBE-SVC-ABCDEFGHIJKLMNOP', { label: 'predecessor', rules: [] }),
      boundAddress(anIp('172.30.0.1')),
    ]
    expect(steps({ created, removed }).map(([file]) => file)).toEqual([
      'ipvsadm',
      'ip',
      'ip',
      'iptables-restore',
      'ip',
    ])
  })

  test('takes away in reverse, and a virtual server with all its servers', () => {
    const removed: IpvsObject[] = [
      ipSet('S', 'hash:ip,port', { family: 'IPv4' }),
      setElement('S', '1'),
      setElement('T', '2'),
      virtualServer(VIRTUAL, plain),
      server('10.0.0.1'),
      localRoute(anIp('172.30.0.1'), undefined),
    ]
    expect(steps({ removed })).toEqual([
      ['ip', 'route del local 172.30.0.1/32 dev kube-ipvs0 table local\n'],
      ['ipvsadm', '-D -t 172.30.0.1:80\n'],
      ['ipset', 'del T 2\ndestroy S\n'],
    ])
  })

  test('drains a removed server, or deletes it where nobody waits', () => {
    const udp = realServer('-u 172.30.0.1:53', '10.0.0.1:53', { weight: 1, drainSeconds: undefined })
    expect(steps({ removed: [server('10.0.0.1'), server('10.0.0.2', 1, 0), udp] })).toEqual([
      [
        'ipvsadm',
        '-e -t 172.30.0.1:80 -r 10.0.0.1:80 -m -w 0\n' +
          '-d -t 172.30.0.1:80 -r 10.0.0.2:80\n' +
          '-d -u 172.30.0.1:53 -r 10.0.0.1:53\n',
      ],
    ])
  })

  test('gives a server that comes back while it drains its weight again', () => {
    const back = server('10.0.0.1')
    expect(steps({ created: [back] }, [back.key])).toEqual([
      ['ipvsadm', '-e -t 172.30.0.1:80 -r 10.0.0.1:80 -m -w 1\n'],
    ])
  })

  test('adds new servers before it takes old ones out', () => {
    const files = steps({ created: [server('10.0.0.2')], removed: [server('10.0.0.1')] })
    expect(files.map(([, text]) => text.slice(0, 2))).toEqual(['-a', '-e'])
  })

  test('changes virtual servers and addresses in place', () => {
    const from = virtualServer(VIRTUAL, plain)
    const to = virtualServer(VIRTUAL, { scheduler: 'wrr', persistentSeconds: 300 })
    const address = {
      from: localRoute(anIp('172.30.0.1'), undefined),
      to: localRoute(anIp('172.30.0.1'), anIp('10.1.1.1')),
    }
    expect(steps({ updated: [{ from, to }, address] })).toEqual([
      ['ipvsadm', '-E -t 172.30.0.1:80 -s wrr -p 300\n'],
      ['ip', 'route replace local 172.30.0.1/32 dev kube-ipvs0 table local src 10.1.1.1\n'],
    ])
  })

  test('replaces a set of another shape in one step for packets', () => {
    const to = ipSet('S', 'hash:ip', { family: 'IPv4' })
    const update = { from: ipSetAs('S', 'hash:ip family inet maxelem 65536'), to }
    expect(
      steps({ updated: [update], created: [setElement('S', '10.0.0.1')] })[0]?.[1].split('\n'),
    ).toContain('swap S~ S')
  })

  test('holds the routes of the device while the addresses of a former kube-proxy go', () => {
    expect(steps({ removed: [boundAddress(anIp('172.30.0.1'))] })).toEqual([
      ['ip', 'addr add 127.255.255.254/32 dev kube-ipvs0 scope host\n'],
      ['ip', 'addr del 172.30.0.1/32 dev kube-ipvs0\n'],
    ])
  })
})

describe('DrainList', () => {
  const key = realServerKey(VIRTUAL, '10.0.0.1:80')
  const drained = '-e -t 172.30.0.1:80 -r 10.0.0.1:80 -m -w 0\n'
  const unlimited = () => undefined
  const open = (count: number) => new Map([[key, count]])

  test('holds a server as long as it has connections, but not for ever', () => {
    const list = new DrainList(900_000)
    list.follow(drained, 1000, unlimited)
    expect(list.keys).toEqual(new Set([key]))
    expect(list.selectors).toEqual(new Set([VIRTUAL]))
    expect(list.due(open(1), 900_999)).toEqual([])
    expect(list.due(open(1), 901_000).map((one) => one.key)).toEqual([key])
    expect(list.due(open(0), 1001).map((one) => one.key)).toEqual([key])
    expect(list.due(new Map(), 1001).map((one) => one.key)).toEqual([key])
  })

  test('lets a Service say how long', () => {
    const list = new DrainList(900_000)
    list.follow(drained, 0, () => 30)
    expect(list.due(open(1), 29_999)).toEqual([])
    expect(list.due(open(1), 30_000)).toHaveLength(1)
  })

  test.each([
    ['came back', '-e -t 172.30.0.1:80 -r 10.0.0.1:80 -m -w 1\n'],
    ['was deleted', '-d -t 172.30.0.1:80 -r 10.0.0.1:80\n'],
    ['went with its virtual server', '-D -t 172.30.0.1:80\n'],
  ])('forgets a server that %s', (_, script) => {
    const list = new DrainList(900_000)
    list.follow(drained, 0, unlimited)
    list.follow(script, 0, unlimited)
    expect(list.size).toBe(0)
  })

  test('finds servers again after a restart, keeps known deadlines and forgets what has gone', () => {
    const list = new DrainList(1000)
    list.found(server('10.0.0.1', 0), 0)
    list.found(server('10.0.0.1', 0), 500)
    expect(list.due(open(1), 1000)).toHaveLength(1)
    list.keepOnly(new Set())
    expect(list.size).toBe(0)
  })
})

test.each([
  ['-a -t 172.30.0.1:80 -r 10.0.0.1:80 -m -w 1', 'real -t 172.30.0.1:80 10.0.0.1:80'],
  ['-A -f 3 -s rr', 'virtual -f 3'],
  ['add KUBE-CLUSTER-IP 172.30.0.1,tcp:80', 'element KUBE-CLUSTER-IP 172.30.0.1,tcp:80'],
  ['route replace local fd00::1/128 dev kube-ipvs0 table local', 'local fd00::1'],
  ['-A KUBE-SERVICES -j DROP', undefined],
  ['', undefined],
])('blamedKey() of %j is %j', (line, key) => {
  expect(blamedKey(line)).toBe(key)
})
