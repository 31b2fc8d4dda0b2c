import type { Explanation } from '../../../src/explain/explanation.ts'
import { explain } from '../../../src/explain/explain.ts'
import { explanationText } from '../../../src/explain/explanation-text.ts'
import { parseSubject } from '../../../src/explain/subject.ts'
import type { ProxyView } from '../../../src/explain/proxy-view.ts'
import type { Protocol } from '../../../src/net/protocol.ts'
import { anIp } from '../../support/forwarding-builder.ts'
import { aService, aSlice } from '../../support/builders.ts'
import { aProxyView } from '../../support/proxy-view.ts'

const WEB = aService('shop/web').clusterIp('172.30.0.1').nodePort(80, 30080)
const WEB_SLICE = aSlice('shop/web')
  .port(8080)
  .endpoint('10.244.0.5', { on: 'node-a' })
  .endpoint('10.244.1.6', { on: 'node-b' })
  .endpoint('10.244.1.7', { on: 'node-b', ready: false })

function ask(
  view: ProxyView,
  text: string,
  { from, protocol }: { from?: string; protocol?: Protocol } = {},
): Explanation {
  const sender = from === undefined ? undefined : { ip: anIp(from), inInterface: undefined }
  return explain(view, { text, subject: parseSubject(text)!, protocol, sender })
}

describe('explain()', () => {
  const view = aProxyView([WEB.build(), WEB_SLICE.build()])

  test('gives every frontend of a Service its row, and every endpoint its reason', () => {
    const { ports } = ask(view, 'shop/web')
    expect(ports).toHaveLength(1)
    expect(ports[0]!.frontends).toMatchObject([
      {
        kind: 'ClusterIP',
        address: '172.30.0.1:80/TCP',
        row: 'internal, policy Cluster',
        routes: { pod: 'cluster', node: 'cluster+masquerade' },
      },
      { kind: 'NodePort', address: '*:30080/TCP', row: 'external, policy Cluster' },
    ])
    expect(ports[0]!.endpoints.map(({ address, clusterPool }) => [address, clusterPool])).toEqual([
      ['10.244.0.5:8080', 'in: it is ready'],
      ['10.244.1.6:8080', 'in: it is ready'],
      ['10.244.1.7:8080', 'out: it is not ready'],
    ])
  })

  test('finds the frontend behind an address, NodePorts included', () => {
    expect(ask(view, '172.30.0.1:80').ports[0]!.frontends.map(({ kind }) => kind)).toEqual(['ClusterIP'])
    expect(ask(view, '192.168.0.10:30080').ports[0]!.frontends.map(({ kind }) => kind)).toEqual(['NodePort'])
    expect(ask(view, '172.30.0.1:80', { protocol: 'UDP' }).ports).toEqual([])
  })

  test('follows the connection of a sender step by step', () => {
    const [frontend] = ask(view, '172.30.0.1:80', { from: '10.244.0.5' }).ports[0]!.frontends
    expect(frontend!.sender).toMatchObject({
      origin: 'pod',
      result: 'goes to one of 10.244.0.5:8080 (masqueraded), 10.244.1.6:8080',
    })
    expect(frontend!.sender!.trace).toContain('10.244.0.5 would answer itself, so it is masqueraded')
  })

  test('names the kernel objects of the port and the rules that lead to them', () => {
    const { kernelObjects } = ask(view, 'shop/web').ports[0]!
    const keys = kernelObjects.map(({ key }) => key)
    expect(keys).toContain('nat/KUBE-SERVICES')
    expect(keys.filter((key) => key.startsWith('nat/FL-C-'))).toHaveLength(1)
    const services = kernelObjects.find(({ key }) => key === 'nat/KUBE-SERVICES')!
    expect(services.lines).toHaveLength(1)
    expect(services.lines[0]).toContain('-d 172.30.0.1/32')
  })

  test.each([
    ['shop/none', {}, 'no Service shop/none is proxied'],
    ['other/web', {}, 'there is shop/web'],
    ['shop/web:443', {}, 'shop/web has no such port or protocol: 443'],
    ['172.30.0.1:81', {}, '172.30.0.1:81/TCP is a port that the ClusterIP does not have'],
    ['8.8.8.8:53', { protocol: 'UDP' }, '8.8.8.8:53/UDP belongs to no Service'],
  ] as const)('says why there is nothing to explain for %s', (text, more, reason) => {
    const explanation = ask(view, text, more)
    expect(explanation.ports).toEqual([])
    expect(explanation.nothing.join('\n')).toContain(reason)
  })

  test('asks for the namespace where several Services have the name', () => {
    const other = aService('dev/web').clusterIp('172.30.0.2').port(80)
    const both = aProxyView([WEB.build(), other.build()])
    expect(ask(both, 'web').nothing[0]).toBe(
      'several Services are called web: dev/web, shop/web; write the namespace too',
    )
    expect(ask(both, 'dev/web').ports).toHaveLength(1)
  })

  test('tells what a Service asked for and does not get', () => {
    const thief = aService('dev/thief').clusterIp('172.30.0.9').port(80).externalIp('172.30.0.1')
    const bad = aService('dev/bad').clusterIp('172.30.0.3').port(80).externalIp('not-an-ip')
    const refused = aProxyView([WEB.build(), thief.build(), bad.build()])
    expect(ask(refused, 'dev/thief').ports[0]!.problems[0]).toMatch(/172\.30\.0\.1:80\/TCP is left out/)
    expect(ask(refused, 'dev/bad').ports[0]!.problems[0]).toMatch(/^spec\.externalIPs\[0\]: "not-an-ip"/)
    const families = refused.families.map((family) => ({
      ...family,
      refused: new Map([...family.cluster.servicePorts.keys()].map((key) => [key, 'no room'] as const)),
    }))
    expect(ask({ ...refused, families }, 'shop/web').ports[0]!.problems).toEqual([
      'refused by the kernel: no room',
    ])
  })

  test('says which senders are let in, refused or dropped', () => {
    const slice = aSlice('shop/lb').port(8080).endpoint('10.244.1.6', { on: 'node-b' })
    const lb = aService('shop/lb')
      .clusterIp('172.30.0.4')
      .port(80)
      .loadBalancer('203.0.113.1')
      .externalLocal()
    const local = aProxyView([lb.build(), slice.build()])
    const dropped = ask(local, '203.0.113.1:80', { from: '198.51.100.1' }).ports[0]!.frontends[0]!
    expect(dropped).toMatchObject({
      row: 'external, policy Local, none local',
      sender: { origin: 'external', result: 'is dropped without an answer' },
    })
    const empty = aProxyView([WEB.build()])
    const rejected = ask(empty, 'shop/web', { from: '192.168.0.10' }).ports[0]!.frontends[0]!
    expect(rejected.sender).toMatchObject({
      origin: 'node',
      result: expect.stringMatching(/^is refused at once/),
    })
  })
})

describe('explanationText()', () => {
  test('prints frontends, sender, endpoints, kernel objects and remarks', () => {
    const view = aProxyView([WEB.build(), WEB_SLICE.build()], { remarks: ['the state is old'] })
    const explanation = ask(view, 'shop/web', { from: '10.244.9.9' })
    const connections = {
      ...{ total: 3, unanswered: 1 },
      byFrontend: { '172.30.0.1:80/TCP': 3 },
      byEndpoint: { '10.244.1.6:8080': 3 },
    }
    const text = explanationText({
      ...explanation,
      ports: explanation.ports.map((port) => ({ ...port, connections })),
    })
    expect(text).toContain('shop/web, on node node-a in iptables mode')
    expect(text).toContain('Note: the state is old')
    expect(text).toContain('ClusterIP 172.30.0.1:80/TCP: internal, policy Cluster; open connections: 3\n')
    expect(text).toContain('a connection from 10.244.9.9 goes to one of')
    expect(text).toMatch(/10\.244\.1\.6:8080 +node-b +ready +100 +3 +in: it is ready/)
    expect(text).toContain('open connections: 3; without an answer yet: 1')
    expect(text).toContain('chain nat/KUBE-SERVICES')
  })

  test('prints why there is nothing', () => {
    expect(explanationText(ask(aProxyView([]), 'a/b'))).toContain('Nothing to explain: no Service a/b')
  })
})
