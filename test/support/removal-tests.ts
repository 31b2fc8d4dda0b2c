/** What becomes of open TCP connections when their endpoint goes: docs/forwarding.md §7, told of one backend. */
import type { EndpointRemoval } from '../../src/model/service-port.ts'
import { Conntrack } from '../../src/kernel/conntrack.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { FlowReconciler } from '../../src/sync/flow-reconciler.ts'
import { type BackendUnderTest, SyncedBackend } from './conformance-kernel-backends.ts'
import { REJECT, aForwarding, anIp, aPort, everyOrigin } from './forwarding-builder.ts'
import { describeKernel } from './skip-reasons.ts'
import { CLIENT, NODE_IP, type Peer, POD_A, POD_B, TcpLab } from './tcp-lab.ts'

const VIP = '172.30.0.1'
const OPTIONS = {
  family: 'IPv4' as const,
  detector: { by: 'source' as const, cidr: '10.0.0.0/8' as never },
  masqueradeMark: 0x4000,
  dropInvalid: true,
}
const NODE = { localIps: ['127.0.0.1', '169.254.1.1', NODE_IP].map(anIp) }
const PATIENCE_MS = 120_000
const RESET: EndpointRemoval = { action: 'reset' }

export function testRemoval(backend: BackendUnderTest): void {
  describeKernel(`open connections in ${backend.title} mode`, backend.needs, () => {
    let lab: TcpLab
    let server: Peer

    beforeEach(async () => {
      lab = await TcpLab.create()
      // The IPVS mode does so by itself.
      await lab.node.run('tee', ['/proc/sys/net/ipv4/ip_forward'], '1')
      server = await lab.serve(lab.podA, 'a', 8080)
      await lab.serve(lab.podB, 'b', 8080)
    }, PATIENCE_MS)
    afterEach(async () => {
      await lab.close()
    }, PATIENCE_MS)

    /** Connects while pod A is the endpoint, then replaces it by these; resolves when the flow is dealt with. */
    async function connectAndReplace(
      how: { readonly removal: EndpointRemoval; readonly from: 'pod' | 'outside' },
      endpoints: readonly string[],
    ): Promise<Peer> {
      const stop = new AbortController()
      const conntrack = new Conntrack(lab.node.exec)
      let deleted = (): void => undefined
      const forgotten = new Promise<void>((resolve) => (deleted = resolve))
      const flows = new FlowReconciler({
        ...{ family: 'IPv4', table: conntrack, clock: systemClock, random: Math.random },
        onDeleted: () => deleted(),
        onFailure: (error) => {
          throw error
        },
      })
      const looking = flows.start(stop.signal)
      const proxy = new SyncedBackend(await backend.create(lab.node, OPTIONS))
      const follow = async (...ips: readonly string[]): Promise<void> => {
        const routes = ips.length === 0 ? { routes: everyOrigin(REJECT) } : {}
        const web = aPort('ns/web')
          .clusterIp(VIP, 80, routes)
          .nodePort(30080, routes)
          .with({ onEndpointRemoval: how.removal })
        const forwarding = aForwarding([web.endpoints(...ips.map((ip) => `${ip}:8080*`))], NODE)
        await proxy.sync(forwarding)
        flows.consider(forwarding)
      }
      await follow(POD_A)
      const connection =
        how.from === 'pod' ? lab.connect(lab.podB, VIP, 80) : lab.connect(lab.client, NODE_IP, 30080)
      expect(await connection.line()).toBe('open')
      expect(await connection.ask('who')).toMatch(/^a 8080 /)
      await follow(...endpoints)
      if (how.removal.action === 'reset') await forgotten
      stop.abort()
      await looking
      return connection
    }

    const ways = [
      { from: 'pod', endpoints: [POD_B] },
      { from: 'outside', endpoints: [POD_B] },
      { from: 'pod', endpoints: [] },
      { from: 'outside', endpoints: [] },
    ] as const

    test.each(ways)(
      'with "reset", the client ($from, left: $endpoints) is reset when it sends',
      async ({ from, endpoints }) => {
        const connection = await connectAndReplace({ removal: RESET, from }, endpoints)
        connection.tell('hello?')
        expect(await connection.line()).toBe('ECONNRESET')
      },
      PATIENCE_MS,
    )

    test.each(ways)(
      'with "reset", the endpoint that is gone ($from, left: $endpoints) is reset when it sends',
      async ({ from, endpoints }) => {
        await connectAndReplace({ removal: RESET, from }, endpoints)
        server.tell('still there?')
        expect(await server.line()).toBe('lost ECONNRESET')
      },
      PATIENCE_MS,
    )

    test.each(['default', 'drain'] as const)(
      'with "%s", the connection goes on',
      async (action) => {
        const removal: EndpointRemoval =
          action === 'drain' ? { action, seconds: undefined } : { action: 'default' }
        const connection = await connectAndReplace({ removal, from: 'pod' }, [POD_B])
        expect(await connection.ask('who')).toBe(`a 8080 ${POD_B}`)
        const outside = lab.connect(lab.client, NODE_IP, 30080)
        expect(await outside.line()).toBe('open')
        expect(await outside.ask('who')).not.toContain(CLIENT)
      },
      PATIENCE_MS,
    )
  })
}
