/** What clients notice while the proxy works: nothing. */
import type { PortForwarding } from '../../src/forwarding/forwarding.ts'
import { BACKENDS, type BackendUnderTest, SyncedBackend } from '../support/conformance-kernel-backends.ts'
import { type PortBuilder, aForwarding, aPort } from '../support/forwarding-builder.ts'
import type { LoadReport, LoadRequest } from '../support/node-bed-load.ts'
import { NodeBed } from '../support/node-bed.ts'
import { describeKernel } from '../support/skip-reasons.ts'

const OPTIONS = {
  family: 'IPv4' as const,
  detector: { by: 'source' as const, cidr: '10.0.0.0/8' as never },
  masqueradeMark: 0x4000,
  dropInvalid: true,
}
const POD = '10.0.0.2'
const CLUSTER_IP = '172.30.0.1'
const ENDPOINTS = Array.from({ length: 8 }, (_, i) => `10.180.0.${i + 1}`)
/** A second is the first retransmission of a lost SYN. */
const LOST_PACKET_MS = 900

/** Odd addresses are pods of this node. */
function isLocal(ip: string): boolean {
  return Number(ip.split('.')[3]) % 2 === 1
}

function service(name: string, clusterIp: string, ips: readonly string[]): PortBuilder {
  return aPort(name)
    .clusterIp(clusterIp)
    .nodePort(30080)
    .endpoints(...ips.map((ip) => `${ip}:8080${isLocal(ip) ? '*' : ''}`))
}

/** The service under load among others, which also change. */
function cluster(ips: readonly string[], round: number): PortForwarding[] {
  const others = Array.from({ length: 20 }, (_, i) =>
    aPort(`other/s${i}`)
      .clusterIp(`172.30.1.${i}`)
      .endpoints(`10.181.${i}.${(round % 200) + 1}:80`),
  )
  return [service('ns/web', CLUSTER_IP, ips), ...others].map((one) => one.build())
}

describe.each(Object.values(BACKENDS))('$title mode', (backend: BackendUnderTest) => {
  describeKernel('continuity', backend.needs, () => {
    let bed: NodeBed

    beforeAll(async () => {
      bed = await NodeBed.create()
      await bed.configure({
        nodeIps: ['192.168.0.2'],
        localPodIps: [POD, ...ENDPOINTS.filter(isLocal)],
        remoteIps: ENDPOINTS.filter((ip) => !isLocal(ip)),
        externalIps: ['203.0.113.2'],
      })
      await bed.listen({ tcp: [{ family: 4, port: 8080 }], udp: ENDPOINTS.map((ip) => ({ ip, port: 8080 })) })
      await backend.reset(bed)
    })

    afterAll(async () => {
      await bed.close()
    })

    async function fresh(): Promise<SyncedBackend> {
      return new SyncedBackend(await backend.create(bed, OPTIONS))
    }

    /** Pods, the node and outside clients ask for new connections and hold old ones while `work` goes on. */
    async function underLoad(work: () => Promise<void>): Promise<LoadReport[]> {
      const clients: LoadRequest[] = [
        {
          protocol: 'TCP',
          sourceIp: POD,
          destIp: CLUSTER_IP,
          destPort: 80,
          fresh: 2,
          held: 16,
          timeoutMs: 3000,
        },
        {
          protocol: 'TCP',
          sourceIp: '203.0.113.2',
          destIp: '192.168.0.2',
          destPort: 30080,
          fresh: 1,
          held: 8,
          timeoutMs: 3000,
        },
      ]
      const started = await Promise.all(clients.map((client) => bed.ask('world', 'load-start', client)))
      await work()
      return Promise.all(started.map((index) => bed.ask('world', 'load-stop', index)))
    }

    test('endpoints that come and go lose no connection, new or old', async () => {
      const proxy = await fresh()
      await proxy.sync(aForwarding(cluster(ENDPOINTS.slice(0, 3), 0)))
      const reports = await underLoad(async () => {
        for (let round = 1; round <= 80; round++) {
          const ips = [0, 1, 2].map((offset) => ENDPOINTS[(round + offset) % ENDPOINTS.length]!)
          await proxy.sync(aForwarding(cluster(ips, round)))
        }
      })
      for (const report of reports) {
        expect(report).toMatchObject({ failed: 0, failures: [], broken: [] })
        expect(Object.keys(report.answered)).toHaveLength(ENDPOINTS.length)
        expect(report.echoes).toBeGreaterThan(0)
        expect(report.slowestMs).toBeLessThan(LOST_PACKET_MS)
      }
    }, 60_000)

    test('a restart of the proxy loses no connection and changes nothing', async () => {
      const forwarding = aForwarding(cluster(ENDPOINTS.slice(0, 3), 0))
      await (await fresh()).sync(forwarding)
      const before = await backend.rules(bed)
      const reports = await underLoad(async () => {
        for (let restart = 0; restart < 10; restart++) await (await fresh()).sync(forwarding)
      })
      expect(await backend.rules(bed)).toBe(before)
      for (const report of reports) {
        expect(report).toMatchObject({ failed: 0, failures: [], broken: [] })
        expect(report.slowestMs).toBeLessThan(LOST_PACKET_MS)
      }
    }, 60_000)

    test('a restart of the proxy with other endpoints removes what is left over', async () => {
      await (await fresh()).sync(aForwarding(cluster(ENDPOINTS, 0)))
      const wanted = aForwarding(cluster(ENDPOINTS.slice(0, 2), 7))
      await (await fresh()).sync(wanted)
      const afterRestart = await backend.rules(bed)
      await backend.reset(bed)
      await (await fresh()).sync(wanted)
      expect(sorted(afterRestart)).toEqual(sorted(await backend.rules(bed)))
    })
  })
})

/** Chains appear in the order of their creation, which means nothing. */
function sorted(rules: string): string[] {
  return rules.split('\n').sort()
}
