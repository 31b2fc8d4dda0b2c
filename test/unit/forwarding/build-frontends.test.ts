/** The decision table of docs/forwarding.md §3, written out a second time and compared in every combination. */
import { buildFrontends, buildRoutes } from '../../../src/forwarding/build-frontends.ts'
import { ROW_NAMES, rowOfFrontend } from '../../../src/forwarding/decision-table.ts'
import type { Frontend, FrontendKind, Origin, Route } from '../../../src/forwarding/forwarding.ts'
import type { Endpoint } from '../../../src/model/endpoint.ts'
import { decodeService } from '../../../src/model/decode-service.ts'
import type { ServicePort } from '../../../src/model/service-port.ts'
import { aService, type ServiceBuilder } from '../../support/builders.ts'
import { anIp } from '../../support/decided-case.ts'

function portOf(builder: ServiceBuilder): ServicePort {
  const decoded = decodeService(builder.build())
  if (!('ports' in decoded) || decoded.ports[0] === undefined) throw new Error('no port')
  return decoded.ports[0]
}

const everything = aService('ns/web')
  .clusterIp('172.30.0.1')
  .nodePort(80, 30080)
  .loadBalancer('1.1.1.1')
  .externalIp('2.2.2.2')

const forward = (pool: 'cluster' | 'local', masquerade: boolean): Route => ({
  action: 'forward',
  pool,
  masquerade,
})

interface Situation {
  readonly kind: FrontendKind
  readonly internal: 'Cluster' | 'Local'
  readonly external: 'Cluster' | 'Local'
  readonly endpoints: 'none' | 'remote' | 'local'
  readonly hasDetector: boolean
  readonly masqueradeAll: boolean
  readonly origin: Origin
}

/** kube-proxy's behaviour, told as a story: where does the packet go, and does it lose its source? */
function expected(at: Situation): Route {
  const isPod = at.origin === 'pod' && at.hasDetector
  if (at.endpoints === 'none') return { action: 'reject' }
  if (at.kind === 'ClusterIP') {
    const masquerade = at.masqueradeAll || (at.hasDetector && !isPod)
    if (at.internal === 'Cluster') return forward('cluster', masquerade)
    return at.endpoints === 'local' ? forward('local', masquerade) : { action: 'drop' }
  }
  if (at.external === 'Cluster') return forward('cluster', true)
  if (isPod) return forward('cluster', false)
  if (at.origin === 'node') return forward('cluster', true)
  return at.endpoints === 'local' ? forward('local', false) : { action: 'drop' }
}

const both = ['Cluster', 'Local'] as const
const situations: Situation[] = (['ClusterIP', 'ExternalIP', 'LoadBalancerIP', 'NodePort'] as const).flatMap(
  (kind) =>
    both.flatMap((internal) =>
      both.flatMap((external) =>
        (['none', 'remote', 'local'] as const).flatMap((endpoints) =>
          [true, false].flatMap((hasDetector) =>
            [true, false].flatMap((masqueradeAll) =>
              (['pod', 'node', 'external'] as const).map((origin) => ({
                kind,
                internal,
                external,
                endpoints,
                hasDetector,
                masqueradeAll,
                origin,
              })),
            ),
          ),
        ),
      ),
    ),
)

function frontendsOf(builder: ServiceBuilder, primaryIp?: string): Frontend[] {
  return buildFrontends(
    portOf(builder),
    { hasAny: true, local: [] },
    {
      hasDetector: true,
      masqueradeAll: false,
      primaryIp: primaryIp === undefined ? undefined : anIp(primaryIp),
    },
  )
}

describe('buildFrontends()', () => {
  test('buildFrontends() follows the decision table in every combination', () => {
    expect(situations).toHaveLength(576)
    for (const at of situations) {
      const servicePort: ServicePort = {
        ...portOf(everything),
        internalTrafficPolicy: at.internal,
        externalTrafficPolicy: at.external,
      }
      const selected = {
        hasAny: at.endpoints !== 'none',
        local: at.endpoints === 'local' ? [{} as Endpoint] : [],
      }
      const frontends = buildFrontends(servicePort, selected, { ...at, primaryIp: undefined })
      const frontend = frontends.find(({ kind }) => kind === at.kind)
      expect({ at, route: frontend?.routes[at.origin] }).toEqual({ at, route: expected(at) })
    }
  })

  test('buildFrontends() makes one frontend for each address, in a fixed order', () => {
    const shown = frontendsOf(everything).map(({ kind, ip, port, lastPort }) => [kind, ip, port, lastPort])
    expect(shown).toEqual([
      ['ClusterIP', '172.30.0.1', 80, undefined],
      ['LoadBalancerIP', '1.1.1.1', 80, undefined],
      ['ExternalIP', '2.2.2.2', 80, undefined],
      ['NodePort', undefined, 30080, undefined],
    ])
  })

  test('buildFrontends() makes a load balancer IP that is an external IP too one frontend, with its source ranges', () => {
    const frontends = frontendsOf(everything.externalIp('1.1.1.1', '172.30.0.1').sourceRanges('10.0.0.0/8'))
    expect(frontends.map(({ kind, sourceRanges }) => [kind, sourceRanges])).toEqual([
      ['ClusterIP', undefined],
      ['LoadBalancerIP', ['10.0.0.0/8']],
      ['NodePort', undefined],
    ])
  })

  test('buildFrontends() lets a load balancer address in where a range covers the node', () => {
    const builder = everything.loadBalancer('3.3.3.3').sourceRanges('10.0.0.0/8')
    const rangesOf = (primaryIp: string) =>
      frontendsOf(builder, primaryIp).map(({ sourceRanges }) => sourceRanges?.join())
    expect(rangesOf('10.0.0.1')).toEqual([
      undefined,
      ...Array<string>(2).fill('1.1.1.1/32,10.0.0.0/8,3.3.3.3/32'),
      undefined,
      undefined,
    ])
    expect(rangesOf('11.0.0.1')[1]).toBe('10.0.0.0/8')
  })

  test('buildFrontends() extends source ranges to the NodePort on request', () => {
    const builder = everything.sourceRanges('10.0.0.0/8').wish('source-ranges-on-nodeport', 'true')
    expect(frontendsOf(builder).at(-1)?.sourceRanges).toEqual(['10.0.0.0/8'])
  })

  test('buildFrontends() gives a port range to every address, and a single port to the NodePort', () => {
    const shown = frontendsOf(everything.wish('port-range', '80-90')).map(({ port, lastPort }) => [
      port,
      lastPort,
    ])
    expect(shown).toEqual([
      [80, 90],
      [80, 90],
      [80, 90],
      [30080, undefined],
    ])
  })
})

describe('rowOfFrontend()', () => {
  test('rowOfFrontend() finds the row that the routes came from', () => {
    for (const hasDetector of [true, false])
      for (const masqueradeAll of [true, false])
        for (const row of ROW_NAMES) {
          const kind = row.startsWith('external') ? 'NodePort' : 'ClusterIP'
          expect(rowOfFrontend({ kind, routes: buildRoutes(row, { hasDetector, masqueradeAll }) })).toBe(row)
        }
  })

  test('buildRoutes() answers the same question with the same object', () => {
    const context = { hasDetector: true, masqueradeAll: false }
    expect(buildRoutes('external, policy Cluster', context)).toBe(
      buildRoutes('external, policy Cluster', { ...context }),
    )
  })
})
