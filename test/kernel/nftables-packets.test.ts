/** What only packets can show of the nftables mode: session affinity while endpoints come and go. */
import { setTimeout } from 'node:timers/promises'
import { atOnce } from '../../src/collections/sliced.ts'
import { createNftablesBackend, type NftablesBackend } from '../../src/backends/nftables/nftables-backend.ts'
import type { Forwarding } from '../../src/forwarding/forwarding.ts'
import type { Exec } from '../../src/kernel/exec.ts'
import { FAMILIES, type Family } from '../../src/net/ip.ts'
import { diffState } from '../../src/netfilter/kernel-state.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { aForwarding, aPort } from '../support/forwarding-builder.ts'
import { NodeBed } from '../support/node-bed.ts'
import { asOlderNft } from '../support/older-nft.ts'
import { describeKernel } from '../support/skip-reasons.ts'

const signal = AbortSignal.timeout(300_000)
const PODS = [
  '10.180.0.1',
  '10.180.0.2',
  '10.180.0.3',
  '10.180.0.4',
  'fd00:10:180::1',
  'fd00:10:180::2',
  'fd00:10:180::3',
  'fd00:10:180::4',
]
const SERVICE = { IPv4: '172.30.0.1', IPv6: 'fd00:30::1' }
const NODE = { IPv4: '192.168.0.2', IPv6: '2001:db8::1' }
const EXTERNAL = { IPv4: '203.0.113.7', IPv6: '2001:db8:113::7' }
const CLIENTS = { IPv4: ['10.0.0.2', '10.0.0.3'], IPv6: ['fd00:10::2', 'fd00:10::3'] }

function endpointsOf(family: Family, numbers: readonly number[]): readonly string[] {
  return numbers.map((n) => (family === 'IPv4' ? `10.180.0.${n}:8080` : `[fd00:10:180::${n}]:8080`))
}

function sticky(family: Family, numbers: readonly number[], seconds = 600): Forwarding {
  const port = aPort('ns/sticky', { family })
    .clusterIp(SERVICE[family])
    .nodePort(30080)
    .externalIp(EXTERNAL[family])
    .affinity(seconds)
  return aForwarding([port.endpoints(...endpointsOf(family, numbers))], {}, family)
}

/** What nft is told depends on its version. */
const VERSIONS: readonly [string, (exec: Exec) => Exec][] = [
  ['', (exec) => exec],
  [' (older nft)', asOlderNft],
]
const CHOICES = FAMILIES.flatMap((family) =>
  VERSIONS.map(([version, execOf]) => ({ family, version, execOf })),
)

describeKernel('nftables mode, packets', ['namespaces', 'nft', 'ipv6'], () => {
  let bed: NodeBed

  beforeAll(async () => {
    bed = await NodeBed.create()
    await bed.configure({
      nodeIps: ['192.168.0.2', '2001:db8::1'],
      localPodIps: [...CLIENTS.IPv4, ...CLIENTS.IPv6],
      remoteIps: PODS,
      externalIps: [],
    })
    await bed.listen({
      tcp: [
        { family: 4, port: 8080 },
        { family: 6, port: 8080 },
      ],
      udp: [],
    })
  })
  afterAll(async () => {
    await bed.close()
  })

  async function backendOf({ family, execOf }: (typeof CHOICES)[number]): Promise<NftablesBackend> {
    const options = { family, detector: undefined, masqueradeMark: 0x4000, dropInvalid: true }
    return createNftablesBackend({ options, exec: execOf(bed.exec), log: silentLogger })
  }

  async function bring(backend: NftablesBackend, forwarding: Forwarding): Promise<void> {
    const have = await backend.observe(signal)
    await backend.apply(atOnce(backend.script(diffState(backend.plan(forwarding), have))), signal)
  }

  /** The endpoints that so many connections of a client reach. */
  async function reached(
    family: Family,
    client: string,
    tries: number,
    dest = { destIp: SERVICE[family], destPort: 80 },
  ): Promise<ReadonlySet<string>> {
    const flow = { protocol: 'TCP' as const, sourceIp: client, ...dest }
    const attempts = await bed.ask('world', 'try', { ...flow, tries, timeoutMs: 3000 })
    return new Set(attempts.map((attempt) => (attempt.kind === 'answer' ? attempt.ip : attempt.kind)))
  }

  test.each(CHOICES)(
    '$family clients keep their endpoint until it leaves, and then keep another$version',
    async (choice) => {
      const { family } = choice
      const [client = '', other = ''] = CLIENTS[family]
      const backend = await backendOf(choice)
      await bring(backend, sticky(family, [1, 2, 3, 4]))
      const [first = ''] = await reached(family, client, 1)
      expect([...(await reached(family, client, 12))]).toEqual([first])
      const theirs = await reached(family, other, 1)
      expect(await reached(family, other, 12)).toEqual(theirs)
      // Others go, and the proxy restarts: the client stays.
      const number = Number(/[:.](\d)$/.exec(first)?.[1])
      const gone = [1, 2, 3, 4].find((n) => n !== number) ?? 0
      await bring(
        await backendOf(choice),
        sticky(
          family,
          [1, 2, 3, 4].filter((n) => n !== gone),
        ),
      )
      expect([...(await reached(family, client, 12))]).toEqual([first])
      // His own goes: no connection fails, and he is held to another one.
      await bring(
        await backendOf(choice),
        sticky(
          family,
          [1, 2, 3, 4].filter((n) => n !== number),
        ),
      )
      const second = await reached(family, client, 1)
      expect(await reached(family, client, 12)).toEqual(second)
      expect(second.has(first)).toBe(false)
      await bring(await backendOf(choice), sticky(family, [1, 2, 3, 4]))
      expect(await reached(family, client, 12)).toEqual(second)
    },
  )
  test.each(CHOICES)(
    'a $family client has one endpoint, whatever frontend of the Service he dials$version',
    async (choice) => {
      const { family } = choice
      const frontends = [
        { destIp: SERVICE[family], destPort: 80 },
        { destIp: NODE[family], destPort: 30080 },
        { destIp: EXTERNAL[family], destPort: 80 },
      ]
      for (const [i, client] of [...CLIENTS[family], ...CLIENTS[family]].entries()) {
        // Nobody is held any more, and another frontend comes first.
        await bed.run('nft', ['flush', 'ruleset'])
        await bring(await backendOf(choice), sticky(family, [1, 2, 3, 4]))
        const first = await reached(family, client, 1, frontends[i % frontends.length])
        expect([...first]).toEqual([expect.stringMatching(/180/)])
        for (const frontend of frontends) expect(await reached(family, client, 3, frontend)).toEqual(first)
      }
    },
  )

  test.each(CHOICES)(
    'a $family client is let go after the time that its Service says, and then keeps another endpoint$version',
    async (choice) => {
      const { family } = choice
      const [client = ''] = CLIENTS[family]
      await bring(await backendOf(choice), sticky(family, [1, 2, 3, 4], 2))
      const [first = ''] = await reached(family, client, 1)
      let next = first
      // One time in four he gets the same again.
      for (let i = 0; i < 20 && next === first; i++) {
        await setTimeout(2500)
        ;[next = ''] = await reached(family, client, 1)
      }
      expect(next).not.toBe(first)
      expect([...(await reached(family, client, 12))]).toEqual([next])
    },
  )
})
