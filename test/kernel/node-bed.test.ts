import { readFileSync } from 'node:fs'
import { NodeBed } from '../support/node-bed.ts'
import {
  type ProbedFlow,
  type ProbeHopes,
  probe,
  renderSightings,
  type Sighting,
} from '../support/packet-prober.ts'
import { describeKernel } from '../support/skip-reasons.ts'

/** The prober and the bed are judged by rules that anybody can read, before they judge a backend. */
const RULES = `
table ip t {
  chain nat-pre { type nat hook prerouting priority -100; jump services; }
  chain nat-out { type nat hook output priority -100; jump services; }
  chain services {
    ip daddr 172.30.0.1 meta l4proto { tcp, udp } th dport 80 dnat ip to numgen random mod 3 map { 0: 10.180.0.1 . 8080, 1: 10.180.0.2 . 8080, 2: 10.180.0.3 . 8080 }
    ip daddr 172.30.0.2 tcp dport 80 dnat to 10.180.0.1:8080
    ip daddr 172.30.0.3 tcp dport 80 dnat ip to jhash ip saddr mod 2 map { 0: 10.180.0.1 . 8080, 1: 10.180.0.2 . 8080 }
  }
  chain nat-post { type nat hook postrouting priority 100; ip daddr 10.180.0.0/16 ct status dnat ct original ip daddr 172.30.0.2 masquerade; }
  chain forward { type filter hook forward priority 0; jump refuse; ip saddr 10.0.0.2 ip daddr 10.0.0.2 drop; }
  chain output { type filter hook output priority 0; jump refuse; }
  chain input { type filter hook input priority 0; jump refuse; }
  chain refuse {
    ip daddr 172.30.0.8 reject
    ip daddr 172.30.0.9 drop
    ip daddr 192.168.0.2 meta l4proto { tcp, udp } th dport 30080 reject
  }
}
table ip6 t {
  chain nat-pre { type nat hook prerouting priority -100; ip6 daddr fd00:172:30::1 tcp dport 80 dnat ip6 to numgen random mod 2 map { 0: fd00:10:180::1 . 8080, 1: fd00:10:180::3 . 8080 }; }
  chain nat-post { type nat hook postrouting priority 100; ct status dnat ip6 saddr 2600:5200::1 masquerade; }
  chain forward { type filter hook forward priority 0; ip6 daddr fd00:172:30::8 reject; ip6 daddr fd00:172:30::9 drop; }
}
`

const ENDPOINTS = ['10.180.0.1:8080', '10.180.0.2:8080', '10.180.0.3:8080']
const POD = '10.0.0.2'

describeKernel('NodeBed', ['namespaces', 'nft', 'ipv6'], () => {
  let bed: NodeBed

  beforeAll(async () => {
    bed = await NodeBed.create()
    await bed.configure({
      nodeIps: ['192.168.0.2', '192.168.1.2', '2001:db8::1'],
      localPodIps: [POD, '10.180.0.1', 'fd00:10::2', 'fd00:10:180::1'],
      remoteIps: ['10.180.0.2', '10.180.0.3', 'fd00:10:180::3'],
      externalIps: ['203.0.113.2', '2600:5200::1'],
    })
    const ports = [80, 8080, 30080]
    const udpIps = ['10.180.0.1', '10.180.0.2', '10.180.0.3']
    const udpServices = ['172.30.0.1', '172.30.0.8', '172.30.0.9', '198.18.0.1', '192.168.1.2']
    await bed.listen({
      tcp: ports.flatMap((port) => [
        { family: 4 as const, port },
        { family: 6 as const, port },
      ]),
      udp: [
        ...udpIps.map((ip) => ({ ip, port: 8080 })),
        ...udpServices.map((ip) => ({ ip, port: 80 })),
        { ip: '192.168.0.2', port: 30080 },
      ],
    })
    await bed.run('nft', ['-f', '-'], RULES)
  })

  afterAll(async () => {
    await bed.close()
  })

  async function see(
    flow: Partial<ProbedFlow> & { readonly destIp: string },
    hopes: ProbeHopes,
  ): Promise<readonly Sighting[]> {
    const usual: ProbedFlow = { place: 'world', protocol: 'TCP', sourceIp: POD, destPort: 80, ...flow }
    return probe(bed, usual, hopes)
  }

  const DNAT: ProbeHopes = { kind: 'dnat', endpoints: ENDPOINTS }
  const NONE: ProbeHopes = { kind: 'none', endpoints: [] }

  test.each([
    { name: 'a pod over TCP', flow: {}, source: POD },
    { name: 'a pod over UDP', flow: { protocol: 'UDP' as const }, source: POD },
    {
      name: 'the node itself',
      flow: { place: 'node' as const, sourceIp: '192.168.0.2' },
      source: '192.168.0.2',
    },
    { name: 'a client outside', flow: { sourceIp: '203.0.113.2' }, source: '203.0.113.2' },
    { name: 'an endpoint that meets itself', flow: { sourceIp: '10.180.0.1' }, source: '10.180.0.1' },
  ])(
    'probe() sees every endpoint of a service and the unchanged source of $name',
    async ({ flow, source }) => {
      const seen = await see({ destIp: '172.30.0.1', ...flow }, DNAT)
      expect(new Set(seen.map((one) => one.kind === 'dnat' && one.endpoint))).toEqual(new Set(ENDPOINTS))
      expect(new Set(seen.map((one) => one.kind === 'dnat' && one.seenIp))).toEqual(new Set([source]))
    },
  )

  test.each([
    { name: 'from a pod', flow: {} },
    { name: 'from the node', flow: { place: 'node' as const, sourceIp: '192.168.0.2' } },
  ])(
    'probe() sees that a connection $name was masqueraded, and not as an address of the layout',
    async ({ flow }) => {
      const seen = await see({ destIp: '172.30.0.2', ...flow }, { kind: 'dnat', endpoints: [ENDPOINTS[0]!] })
      expect(seen).toMatchObject([{ kind: 'dnat', endpoint: ENDPOINTS[0] }])
      expect(seen[0]).toHaveProperty('seenIp', expect.stringMatching(/^100\.64\./))
    },
  )

  test('probe() reports an endpoint that nobody hoped for', async () => {
    const seen = await see({ destIp: '172.30.0.1' }, { kind: 'dnat', endpoints: ENDPOINTS.slice(0, 2) })
    expect(renderSightings(seen)).toContain('10.180.0.3:8080')
  })

  test('probe() gives up on an endpoint that never answers', async () => {
    const seen = await see({ destIp: '172.30.0.2' }, { kind: 'dnat', endpoints: ENDPOINTS.slice(0, 2) })
    expect(seen).toMatchObject([{ kind: 'dnat', endpoint: ENDPOINTS[0], count: 2 + 2 * 25 }])
  })

  test('probe() sees one endpoint when a client sticks to it', async () => {
    const seen = await see({ destIp: '172.30.0.3' }, { ...DNAT, sticky: true })
    expect(seen).toMatchObject([{ kind: 'dnat', count: 7 }])
  })

  test.each([
    { name: 'TCP from a pod', flow: {} },
    { name: 'UDP from a pod', flow: { protocol: 'UDP' as const } },
    { name: 'TCP from the node', flow: { place: 'node' as const, sourceIp: '192.168.0.2' } },
  ])('probe() tells reject from drop for $name', async ({ flow }) => {
    const [rejected, dropped] = await Promise.all([
      see({ destIp: '172.30.0.8', ...flow }, { kind: 'reject', endpoints: [] }),
      see({ destIp: '172.30.0.9', ...flow }, { kind: 'drop', endpoints: [] }),
    ])
    expect(rejected).toMatchObject([{ kind: 'reject', code: 'ECONNREFUSED', count: 2 }])
    expect(dropped).toMatchObject([{ kind: 'drop', count: 2 }])
  })

  test.each(['TCP' as const, 'UDP' as const])(
    'probe() tells a reject of a port of the node itself from its listener over %s',
    async (protocol) => {
      const flow = { sourceIp: '203.0.113.2', destIp: '192.168.0.2', destPort: 30080, protocol }
      expect(await see(flow, NONE)).toMatchObject([{ kind: 'reject' }])
    },
  )

  test.each([
    { name: 'an address that nobody owns, TCP', flow: { destIp: '198.18.0.1' }, place: 'world' },
    {
      name: 'an address that nobody owns, UDP',
      flow: { destIp: '198.18.0.1', protocol: 'UDP' as const },
      place: 'world',
    },
    { name: 'the node, TCP', flow: { destIp: '192.168.1.2' }, place: 'node' },
    { name: 'the node, UDP', flow: { destIp: '192.168.1.2', protocol: 'UDP' as const }, place: 'node' },
    { name: 'another pod', flow: { destIp: '10.180.0.1' }, place: 'world' },
  ])('probe() sees packets that nobody touched at $name', async ({ flow, place }) => {
    expect(await see(flow, NONE)).toMatchObject([{ kind: 'none', place, seenIp: POD, count: 2 }])
  })

  test('packets of a pod to itself pass through the node', async () => {
    expect(await see({ destIp: POD }, { kind: 'drop', endpoints: [] })).toMatchObject([{ kind: 'drop' }])
  })

  test('probe() sees endpoints, masquerade, reject, drop and untouched packets over IPv6', async () => {
    const endpoints = ['[fd00:10:180::1]:8080', '[fd00:10:180::3]:8080']
    const sourceIp = 'fd00:10::2'
    const [plain, masqueraded, rejected, dropped, untouched] = await Promise.all([
      see({ destIp: 'fd00:172:30::1', sourceIp }, { kind: 'dnat', endpoints }),
      see({ destIp: 'fd00:172:30::1', sourceIp: '2600:5200::1' }, { kind: 'dnat', endpoints }),
      see({ destIp: 'fd00:172:30::8', sourceIp }, { kind: 'reject', endpoints: [] }),
      see({ destIp: 'fd00:172:30::9', sourceIp }, { kind: 'drop', endpoints: [] }),
      see({ destIp: '2001:db8:99::9', sourceIp }, NONE),
    ])
    expect(new Set(plain.map((one) => one.kind === 'dnat' && one.endpoint))).toEqual(new Set(endpoints))
    expect(plain[0]).toHaveProperty('seenIp', sourceIp)
    expect(masqueraded[0]).toHaveProperty('seenIp', expect.stringMatching(/^fd64::/))
    expect(rejected).toMatchObject([{ kind: 'reject', code: 'ECONNREFUSED' }])
    expect(dropped).toMatchObject([{ kind: 'drop' }])
    expect(untouched).toMatchObject([{ kind: 'none', place: 'world', seenIp: sourceIp }])
  })

  test('withNodeAddress() lets the node send from one more address, for a while', async () => {
    const flow = { place: 'node' as const, sourceIp: '1.2.3.4', destIp: '172.30.0.1' }
    const during = await bed.withNodeAddress('1.2.3.4', () => see(flow, DNAT))
    expect(during).toContainEqual(expect.objectContaining({ kind: 'dnat', seenIp: '1.2.3.4' }))
  })

  test('a load counts answers, and notices refused and broken connections', async () => {
    const own = {
      protocol: 'TCP' as const,
      sourceIp: POD,
      destIp: '10.180.0.1',
      destPort: 8080,
      timeoutMs: 1000,
    }
    const good = await bed.ask('world', 'load-start', { ...own, fresh: 2, held: 2 })
    const bad = await bed.ask('world', 'load-start', { ...own, destIp: '172.30.0.8', fresh: 1, held: 1 })
    await see({ destIp: '172.30.0.9' }, { kind: 'drop', endpoints: [] })
    const report = await bed.ask('world', 'load-stop', good)
    expect(report).toMatchObject({ failed: 0, broken: [] })
    expect(report.answered['10.180.0.1:8080']).toBeGreaterThan(10)
    expect(report.echoes).toBeGreaterThan(10)
    const cut = await bed.ask('world', 'load-start', { ...own, fresh: 0, held: 1 })
    await see({ destIp: '172.30.0.9' }, { kind: 'drop', endpoints: [] })
    await bed.run('nft', ['add rule ip t forward tcp dport 8080 drop'])
    expect((await bed.ask('world', 'load-stop', cut)).broken).toEqual([expect.stringMatching(/^silence/)])
    await bed.run('nft', ['-f', '-'], `flush ruleset\n${RULES}`)
    const refused = await bed.ask('world', 'load-stop', bad)
    expect(refused.failed).toBeGreaterThan(0)
    expect(refused.broken[0]).toMatch(/^ECONNREFUSED/)
  })

  test('configure() moves a pod elsewhere and forgets addresses', async () => {
    const own = await NodeBed.create()
    try {
      const layout = {
        nodeIps: ['192.168.0.2'],
        localPodIps: ['10.0.0.2'],
        remoteIps: ['10.0.0.3'],
        externalIps: [],
      }
      await own.configure(layout)
      await own.configure({
        ...layout,
        nodeIps: ['192.168.7.7', '2001:db8::7'],
        localPodIps: ['10.0.0.3'],
        remoteIps: ['10.0.0.2'],
      })
      expect(own.localIps()).toEqual(
        expect.arrayContaining(['127.0.0.1', '::1', '192.168.7.7', '2001:db8::7']),
      )
      expect(own.localIps()).not.toContain('192.168.0.2')
      const routes = await own.run('ip', ['route', 'show'])
      expect(routes).toMatch(/^10\.0\.0\.2 via 100\.64\.2\.2 dev remote0/m)
      expect(routes).toMatch(/^10\.0\.0\.3 via 100\.64\.10\.2 dev pod0/m)
    } finally {
      await own.close()
    }
  })

  test('close() ends the processes that hold the namespaces', async () => {
    const own = await NodeBed.create()
    const path = `/proc/${own.nodePid}/cmdline`
    expect(readFileSync(path, 'utf8')).toContain('node-bed-agent')
    await own.close()
    expect(() => readFileSync(path)).toThrow('ENOENT')
  })
})
