/** What settings of the proxy do to packets, told of one backend, on whatever kernel this runs. */
import type { BackendOptions, LocalDetector } from '../../src/backends/backend.ts'
import type { Forwarding } from '../../src/forwarding/forwarding.ts'
import { type BackendUnderTest, SyncedBackend } from './conformance-kernel-backends.ts'
import { aForwarding, anIp, aPort, type PortBuilder } from './forwarding-builder.ts'
import { LATE_REPLY } from './late-reply.ts'
import { NodeBed, POD_INTERFACE_PREFIX } from './node-bed.ts'
import { describeKernel } from './skip-reasons.ts'

const POD = '10.0.0.2'
const OUTSIDER = '203.0.113.2'
const NODE = '192.168.0.2'
const OTHER_NODE_IP = '192.168.1.2'
const CLUSTER_IP = '172.30.0.1'
const HOST_SERVICE = '172.30.0.9'
const ENDPOINT = '10.180.0.2'
const OPTIONS: BackendOptions = {
  family: 'IPv4',
  detector: { by: 'source', cidr: '10.0.0.0/8' as never },
  masqueradeMark: 0x4000,
  dropInvalid: true,
}
const DETECTORS: readonly { readonly name: string; readonly detector: LocalDetector }[] = [
  { name: 'their network', detector: { by: 'source', cidr: '10.0.0.0/24' as never } },
  { name: 'an interface', detector: { by: 'interface', name: `${POD_INTERFACE_PREFIX}0` } },
  { name: 'the prefix of interfaces', detector: { by: 'interface-prefix', prefix: POD_INTERFACE_PREFIX } },
]
const PATIENCE_MS = 180_000

const web = (): PortBuilder =>
  aPort('ns/web').clusterIp(CLUSTER_IP).nodePort(30080).endpoints(`${ENDPOINT}:8080`)

export function testEveryMode(backend: BackendUnderTest): void {
  describeKernel(`settings in ${backend.title} mode`, backend.needs, () => {
    let bed: NodeBed

    beforeAll(async () => {
      bed = await NodeBed.create()
      await bed.configure({
        nodeIps: [NODE, OTHER_NODE_IP],
        localPodIps: [POD],
        remoteIps: [ENDPOINT],
        externalIps: [OUTSIDER],
      })
      await bed.listen({ tcp: [{ family: 4, port: 8080 }], udp: [{ ip: ENDPOINT, port: 8080 }] })
    }, PATIENCE_MS)
    afterAll(async () => {
      await bed.close()
    })

    function decided(nodePortIps: readonly string[] | 'all', ...ports: readonly PortBuilder[]): Forwarding {
      const localIps = bed.localIps().flatMap((ip) => (ip.includes(':') ? [] : [anIp(ip)]))
      const nodePorts =
        nodePortIps === 'all'
          ? ({ scope: 'all' } as const)
          : ({ scope: 'listed', ips: nodePortIps.map(anIp) } as const)
      return aForwarding(ports, { localIps: localIps.sort(), nodePorts })
    }

    async function start(options: Partial<BackendOptions> = {}): Promise<SyncedBackend> {
      await backend.reset(bed)
      return new SyncedBackend(await backend.create(bed, { ...OPTIONS, ...options }))
    }

    /** Whom the endpoint sees when this client asks; or how the client fails. */
    async function seenFrom(sourceIp: string, destIp: string, destPort = 80): Promise<string> {
      const flow = { protocol: 'TCP' as const, sourceIp, destIp, destPort }
      const [answer] = await bed.ask('world', 'try', { ...flow, tries: 1, timeoutMs: 3000 })
      if (answer?.kind !== 'answer') return answer?.kind ?? 'nothing'
      return answer.ip === ENDPOINT ? answer.seenIp : `${answer.ip} instead`
    }

    test.each(DETECTORS)(
      'pods are told by $name',
      async ({ detector }) => {
        const proxy = await start({ detector })
        await proxy.sync(decided('all', web()))
        expect(await seenFrom(POD, CLUSTER_IP)).toBe(POD)
        expect(await seenFrom(OUTSIDER, CLUSTER_IP)).not.toBe(OUTSIDER)
        expect(await seenFrom(OUTSIDER, CLUSTER_IP)).toMatch(/^100\.64\./)
      },
      PATIENCE_MS,
    )

    test(
      'the mark for masquerading is the bit that was asked for',
      async () => {
        const proxy = await start({ masqueradeMark: 0x100 })
        await proxy.sync(decided('all', web()))
        expect(await seenFrom(OUTSIDER, NODE, 30080)).toMatch(/^100\.64\./)
        expect(await seenFrom(POD, CLUSTER_IP)).toBe(POD)
        const rules = await backend.rules(bed)
        expect(rules).toMatch(/0x0*100\b/)
        expect(rules).not.toMatch(/0x0*4000\b/)
      },
      PATIENCE_MS,
    )

    test(
      'masquerading chooses ports at random',
      async () => {
        const proxy = await start()
        await proxy.sync(decided('all', web()))
        const rules = (await backend.rules(bed)).split('\n')
        const verdict = backend.mode === 'nftables' ? /\bmasquerade(?! #|-)/ : / -j MASQUERADE( |$)/
        const masquerading = rules.filter((line) => verdict.test(line))
        expect(masquerading).not.toEqual([])
        expect(masquerading.filter((line) => !/random-fully|fully-random/.test(line))).toEqual([])
      },
      PATIENCE_MS,
    )

    test.each([
      { protocol: 'TCP', destPort: 30080 },
      { protocol: 'UDP', destPort: 30053 },
    ] as const)(
      'masquerading of $protocol takes no port of the range of NodePorts, and keeps privileged ports privileged',
      async ({ protocol, destPort }) => {
        const proxy = await start({ nodePortRange: { first: 1100, last: 65_500 } })
        const dns = aPort('ns/dns', { protocol: 'UDP' }).nodePort(30053).endpoints(`${ENDPOINT}:8080`)
        await proxy.sync(decided('all', web(), dns))
        const flow = { protocol, sourceIp: OUTSIDER, destIp: NODE, destPort, timeoutMs: 3000 }
        const seenPorts = async (tries: number, sourcePort?: number): Promise<number[]> => {
          const from = sourcePort === undefined ? {} : { sourcePort }
          const answers = await bed.ask('world', 'try', { ...flow, ...from, tries })
          return answers.map((answer) => (answer.kind === 'answer' ? answer.seenPort : 0))
        }
        const ports = await seenPorts(40)
        const [low, high] = [ports.filter((port) => port < 1100), ports.filter((port) => port > 65_500)]
        expect(Math.min(...ports)).toBeGreaterThanOrEqual(1024)
        expect([...low, ...high]).toHaveLength(40)
        expect(low).not.toEqual([])
        expect(high).not.toEqual([])
        expect(Math.max(...(await seenPorts(1, 700)))).toBeLessThan(1024)
        expect(await seenPorts(1, 700)).not.toContain(0)
      },
      PATIENCE_MS,
    )

    test(
      'NodePorts follow the addresses of the node',
      async () => {
        const proxy = await start()
        await proxy.sync(decided([NODE], web()))
        expect(await seenFrom(OUTSIDER, NODE, 30080)).toMatch(/^100\.64\./)
        expect(await seenFrom(OUTSIDER, OTHER_NODE_IP, 30080)).toBe('error')
        await proxy.sync(decided([OTHER_NODE_IP], web()))
        expect(await seenFrom(OUTSIDER, OTHER_NODE_IP, 30080)).toMatch(/^100\.64\./)
        expect(await seenFrom(OUTSIDER, NODE, 30080)).toBe('error')
      },
      PATIENCE_MS,
    )

    if (backend.mode !== 'nftables')
      test(
        'what is masqueraded is forwarded although FORWARD drops everything else',
        async () => {
          const proxy = await start()
          await proxy.sync(decided('all', web()))
          const program = `iptables-${backend.title.includes('nft') ? 'nft' : 'legacy'}`
          await bed.run(program, ['-P', 'FORWARD', 'DROP'])
          try {
            expect(await seenFrom(OUTSIDER, NODE, 30080)).toMatch(/^100\.64\./)
          } finally {
            await bed.run(program, ['-P', 'FORWARD', 'ACCEPT'])
          }
        },
        PATIENCE_MS,
      )

    if (backend.mode !== 'ipvs')
      test.each([
        { choice: 'on', dropInvalid: true, outcome: 'lost' },
        { choice: 'off', dropInvalid: false, outcome: 'ECONNRESET' },
      ])(
        'a reply that cannot be translated back meets the INVALID drop, which is $choice',
        async ({ dropInvalid, outcome }) => {
          const proxy = await start({ dropInvalid })
          const onHost = aPort('ns/host').clusterIp(HOST_SERVICE).endpoints(`${NODE}:8090*`)
          await proxy.sync(decided('all', onHost))
          // Then the middle of a connection that is not tracked is INVALID, as it is for a window that was missed.
          await bed.sysctl({ 'net/netfilter/nf_conntrack_tcp_loose': '0' })
          const lateReply = (dial: string, port: number): Promise<string> =>
            bed.run(process.execPath, ['-e', LATE_REPLY, NODE, '8090', dial, String(port)])
          expect(await lateReply(NODE, 8090)).toBe('arrived')
          expect(await lateReply(HOST_SERVICE, 80)).toBe(outcome)
        },
        PATIENCE_MS,
      )
  })
}
