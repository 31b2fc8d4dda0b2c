/** What clients notice while a proxy works: nothing. Told of one backend, on whatever kernel this runs. */
import type { Forwarding, PortForwarding } from '../../src/forwarding/forwarding.ts'
import { type BackendUnderTest, SyncedBackend } from './conformance-kernel-backends.ts'
import { FlowReconciler } from '../../src/sync/flow-reconciler.ts'
import { Conntrack } from '../../src/kernel/conntrack.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { type PortBuilder, aForwarding, anIp, aPort } from './forwarding-builder.ts'
import { HANG_MS, type LoadReport, type LoadRequest } from './node-bed-load.ts'
import { NodeBed } from './node-bed.ts'
import { underLoad } from './under-load.ts'
import { describeKernel } from './skip-reasons.ts'

const OPTIONS = {
  family: 'IPv4' as const,
  detector: { by: 'source' as const, cidr: '10.0.0.0/8' as never },
  masqueradeMark: 0x4000,
  dropInvalid: true,
}
const POD = '10.0.0.2'
const CLUSTER_IP = '172.30.0.1'
const ENDPOINTS = Array.from({ length: 8 }, (_, i) => `10.180.0.${i + 1}`)
const PATIENCE_MS = 180_000
const EXTERNAL_IP = '198.51.100.7'
/** Stale flows must be gone within a second of the change; a slow machine may take a little longer. */
const FLOW_PATIENCE_MS = 3000
/** A client that waits sends its first packet again after one second, three, seven and fifteen. */
const KNOCKING_MS = 20_000

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

export interface ContinuityAmount {
  /** How many changes of the endpoints are made under load. */
  readonly changes: number
  readonly restarts: number
}

/** Seconds of work on a usual machine. */
const USUAL_AMOUNT: ContinuityAmount = { changes: 80, restarts: 10 }

export function testContinuity(backend: BackendUnderTest, amount = USUAL_AMOUNT): void {
  describeKernel(`continuity in ${backend.title} mode`, backend.needs, () => {
    let bed: NodeBed
    let conntrack: Conntrack

    beforeAll(async () => {
      bed = await NodeBed.create()
      conntrack = new Conntrack(bed.exec)
      await bed.configure({
        nodeIps: ['192.168.0.2'],
        localPodIps: [POD, ...ENDPOINTS.filter(isLocal)],
        remoteIps: ENDPOINTS.filter((ip) => !isLocal(ip)),
        externalIps: ['203.0.113.2'],
      })
      await bed.listen({
        tcp: [{ family: 4, port: 8080 }],
        udp: [...ENDPOINTS.map((ip) => ({ ip, port: 8080 })), { ip: CLUSTER_IP, port: 53 }],
      })
      await backend.reset(bed)
    })

    afterAll(async () => {
      await bed.close()
    })

    /** With the addresses that NodePorts are answered on, which one mode has to be told. */
    function decided(ports: readonly (PortBuilder | PortForwarding)[]): Forwarding {
      const localIps = bed.localIps().flatMap((ip) => (ip.includes(':') ? [] : [anIp(ip)]))
      return aForwarding(ports, { localIps: localIps.sort() })
    }

    async function fresh(): Promise<SyncedBackend> {
      return new SyncedBackend(await backend.create(bed, OPTIONS))
    }

    /** Pods, the node and outside clients ask for new connections and hold old ones while `work` goes on. */
    async function loaded(work: () => Promise<void>): Promise<LoadReport[]> {
      const clients: LoadRequest[] = [
        {
          protocol: 'TCP',
          sourceIp: POD,
          destIp: CLUSTER_IP,
          destPort: 80,
          fresh: 2,
          held: 16,
          timeoutMs: HANG_MS,
        },
        {
          protocol: 'TCP',
          sourceIp: '203.0.113.2',
          destIp: '192.168.0.2',
          destPort: 30080,
          fresh: 1,
          held: 8,
          timeoutMs: HANG_MS,
        },
      ]
      return underLoad(bed, clients, work)
    }

    test(
      'endpoints that come and go lose no connection, new or old',
      async () => {
        const proxy = await fresh()
        await proxy.sync(decided(cluster(ENDPOINTS.slice(0, 3), 0)))
        const reports = await loaded(async () => {
          for (let round = 1; round <= amount.changes; round++) {
            // Their number changes, too: that is what the shape of the rules depends on.
            const offsets = [0, 1, 2, 3].slice(round % 3)
            const ips = offsets.map((offset) => ENDPOINTS[(round + offset) % ENDPOINTS.length]!)
            await proxy.sync(decided(cluster(ips, round)))
          }
        })
        for (const report of reports) {
          expect(report).toMatchObject({ failed: 0, failures: [], broken: [], lostSyns: 0 })
          expect(Object.keys(report.answered)).toHaveLength(ENDPOINTS.length)
          expect(report.echoes).toBeGreaterThan(0)
        }
      },
      PATIENCE_MS,
    )

    test(
      'a restart of the proxy loses no connection and changes nothing',
      async () => {
        const forwarding = decided(cluster(ENDPOINTS.slice(0, 3), 0))
        await (await fresh()).sync(forwarding)
        const before = await backend.rules(bed)
        const reports = await loaded(async () => {
          for (let restart = 0; restart < amount.restarts; restart++) await (await fresh()).sync(forwarding)
        })
        expect(await backend.rules(bed)).toBe(before)
        for (const report of reports) {
          expect(report).toMatchObject({ failed: 0, failures: [], broken: [], lostSyns: 0 })
        }
      },
      PATIENCE_MS,
    )

    /** Follows decisions like the daemon: rules first, then (so much later) the flows that contradict them. */
    async function withFlows(
      work: (follow: (ports: readonly PortBuilder[], laterMs?: number) => Promise<void>) => Promise<void>,
    ) {
      const proxy = await fresh()
      const over = new AbortController()
      const failures: unknown[] = []
      const flows = new FlowReconciler({
        family: 'IPv4',
        table: conntrack,
        clock: systemClock,
        random: Math.random,
        onDeleted: () => undefined,
        onFailure: (error) => failures.push(error),
      })
      const ended = flows.start(over.signal)
      const story = work(async (ports, laterMs = 0) => {
        const forwarding = decided(ports)
        await proxy.sync(forwarding)
        await systemClock.sleep(laterMs)
        flows.consider(forwarding)
      })
      await story.catch(() => undefined)
      over.abort()
      await ended
      // The cause before the consequence.
      expect(failures).toEqual([])
      await story
    }

    /** One datagram of a client that never changes its port: to the network it is one flow. */
    async function ask(sourcePort: number, destIp = CLUSTER_IP, destPort = 53): Promise<string> {
      const place = { protocol: 'UDP' as const, sourceIp: POD, sourcePort, destIp, destPort }
      const [answer] = await bed.ask('world', 'try', { ...place, tries: 1, timeoutMs: 300 })
      return answer?.kind === 'answer' ? `${answer.ip}:${answer.port}` : (answer?.kind ?? 'nothing')
    }

    /** Keeps the flow busy until somebody else answers; resolves to who answered at the end of the patience. */
    async function askUntil(wanted: string, ...flow: Parameters<typeof ask>): Promise<string> {
      const deadline = performance.now() + FLOW_PATIENCE_MS
      let answer = await ask(...flow)
      while (answer !== wanted && performance.now() < deadline) answer = await ask(...flow)
      return answer
    }

    async function askWhile(unwanted: string, sourcePort: number): Promise<string> {
      const deadline = performance.now() + FLOW_PATIENCE_MS
      let answer = await ask(sourcePort)
      while (answer === unwanted && performance.now() < deadline) answer = await ask(sourcePort)
      return answer
    }

    const dns = (...ips: readonly string[]): PortBuilder =>
      aPort('ns/dns', { protocol: 'UDP' })
        .clusterIp(CLUSTER_IP, 53)
        .externalIp(EXTERNAL_IP, 53)
        .nodePort(30053)
        .endpoints(...ips.map((ip) => `${ip}:8080${isLocal(ip) ? '*' : ''}`))

    test.each([
      { name: 'ClusterIP', destIp: CLUSTER_IP, destPort: 53 },
      { name: 'ExternalIP', destIp: EXTERNAL_IP, destPort: 53 },
      { name: 'NodePort', destIp: '192.168.0.2', destPort: 30053 },
    ])('a busy UDP flow to a $name moves on when its endpoint goes', async ({ destIp, destPort }) => {
      await withFlows(async (follow) => {
        await follow([dns(ENDPOINTS[0]!)])
        expect(await askUntil(`${ENDPOINTS[0]}:8080`, 20_001, destIp, destPort)).toBe(`${ENDPOINTS[0]}:8080`)
        await follow([dns(ENDPOINTS[1]!)])
        expect(await askUntil(`${ENDPOINTS[1]}:8080`, 20_001, destIp, destPort)).toBe(`${ENDPOINTS[1]}:8080`)
      })
    })

    test('a busy UDP flow that is older than the Service finds the Service', async () => {
      await withFlows(async (follow) => {
        await follow([])
        expect(await askUntil(`${CLUSTER_IP}:53`, 20_002)).toBe(`${CLUSTER_IP}:53`)
        await follow([dns(ENDPOINTS[0]!)])
        expect(await askUntil(`${ENDPOINTS[0]}:8080`, 20_002)).toBe(`${ENDPOINTS[0]}:8080`)
      })
    })

    /** A client of `destIp` that goes on knocking, as TCP does, while `follow` lets the proxy go on. */
    async function knockWhile(destIp: string, work: () => Promise<void>): Promise<string> {
      const place = { protocol: 'TCP' as const, sourceIp: POD, destIp, destPort: 80 }
      const answer = bed.ask('world', 'try', { ...place, tries: 1, timeoutMs: KNOCKING_MS })
      const begun = async (): Promise<boolean> => {
        const flows = await conntrack.list({ family: 'IPv4', protocol: 'TCP' }, new AbortController().signal)
        return flows.some(({ destination, unreplied }) => destination === destIp && unreplied)
      }
      while (!(await begun())) await systemClock.sleep(20)
      await work()
      const [got] = await answer
      return got?.kind === 'answer' ? `${got.ip}:${got.port}` : (got?.kind ?? 'nothing')
    }

    describe('a TCP client that waits for an answer', () => {
      // What goes there is never heard of again: a Service that is not programmed yet, a pod whose node died.
      const silent = { clusterIp: '172.30.0.99', endpoint: '10.182.0.1' }
      const web = (...ips: readonly string[]): PortBuilder => service('ns/silent', silent.clusterIp, ips)

      const swallow = async (verb: 'add' | 'del'): Promise<void> => {
        for (const ip of Object.values(silent)) {
          const args = ['route', verb, 'blackhole', ip, 'table', 'local']
          await bed.run('ip', args, '', 'world')
        }
      }
      beforeAll(async () => swallow('add'))
      afterAll(async () => swallow('del'))

      test('is served when the Service it asked for too early is there', async () => {
        await withFlows(async (follow) => {
          await follow([])
          const answer = knockWhile(silent.clusterIp, () => follow([web(ENDPOINTS[0]!)]))
          expect(await answer).toBe(`${ENDPOINTS[0]}:8080`)
        })
      })

      test('is not refused when it tries again before anybody has looked at it', async () => {
        await withFlows(async (follow) => {
          await follow([])
          const answer = knockWhile(silent.clusterIp, () => follow([web(ENDPOINTS[0]!)], 1500))
          expect(await answer).toBe(`${ENDPOINTS[0]}:8080`)
        })
      })

      test('is served by another endpoint when the one it was sent to is gone', async () => {
        await withFlows(async (follow) => {
          await follow([web(silent.endpoint)])
          const answer = knockWhile(silent.clusterIp, () => follow([web(ENDPOINTS[0]!)]))
          expect(await answer).toBe(`${ENDPOINTS[0]}:8080`)
        })
      })
    })

    test('a busy UDP flow leaves the endpoint when the Service goes', async () => {
      await withFlows(async (follow) => {
        await follow([dns(ENDPOINTS[0]!)])
        expect(await askUntil(`${ENDPOINTS[0]}:8080`, 20_003)).toBe(`${ENDPOINTS[0]}:8080`)
        await follow([])
        expect(await askUntil(`${CLUSTER_IP}:53`, 20_003)).toBe(`${CLUSTER_IP}:53`)
      })
    })

    test('UDP flows of endpoints that stay are left alone', async () => {
      const sourcePorts = Array.from({ length: 16 }, (_, i) => 21_000 + i)
      await withFlows(async (follow) => {
        await follow([dns(...ENDPOINTS.slice(0, 3))])
        const before = await Promise.all(sourcePorts.map((sourcePort) => ask(sourcePort)))
        await follow([dns(...ENDPOINTS.slice(0, 2))])
        const gone = `${ENDPOINTS[2]}:8080`
        for (const [index, sourcePort] of sourcePorts.entries()) {
          if (before[index] === gone) expect(await askWhile(gone, sourcePort)).not.toBe(gone)
          else expect(await ask(sourcePort)).toBe(before[index])
        }
      })
    })

    test('a restart of the proxy with other endpoints removes what is left over', async () => {
      await (await fresh()).sync(decided(cluster(ENDPOINTS, 0)))
      const wanted = decided(cluster(ENDPOINTS.slice(0, 2), 7))
      await (await fresh()).sync(wanted)
      const afterRestart = await backend.rules(bed)
      await backend.reset(bed)
      await (await fresh()).sync(wanted)
      expect(sorted(afterRestart)).toEqual(sorted(await backend.rules(bed)))
    })
  })
}

/** Chains appear in the order of their creation, which means nothing. */
function sorted(rules: string): string[] {
  return rules.split('\n').sort()
}
