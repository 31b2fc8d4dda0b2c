/**
 * What users of kube-proxy's IPVS mode complained about, one test each, on a kernel that has IPVS. Complaints about the
 * way out of this mode, restarts and packets of policy Local are with switching, continuity and conformance.
 */
import type { BackendOptions } from '../../../src/backends/backend.ts'
import { createIpvsBackend, type IpvsBackendOptions } from '../../../src/backends/ipvs/ipvs-backend.ts'
import type { IpvsObject } from '../../../src/backends/ipvs/plan-port.ts'
import type { NodeForwarding } from '../../../src/forwarding/forwarding.ts'
import type { Cidr } from '../../../src/net/cidr.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { Reconciler } from '../../../src/sync/reconciler.ts'
import { aForwarding, anIp, aPort, type PortBuilder } from '../../support/forwarding-builder.ts'
import { NODE_IP, POD_A, POD_B, TcpLab } from '../../support/tcp-lab.ts'

const OPTIONS: BackendOptions = {
  family: 'IPv4',
  detector: { by: 'source', cidr: '10.244.0.0/16' as Cidr },
  masqueradeMark: 0x4000,
  dropInvalid: true,
}
const NODE = {
  localIps: [anIp('127.0.0.1'), anIp(NODE_IP)],
  primaryIp: anIp(NODE_IP),
  serviceCidrs: ['172.30.0.0/16' as Cidr],
}
const VIP = '172.30.0.1'
const LOAD_BALANCER = '198.51.100.7'
const A = `${POD_A}:8080*`
const B = `${POD_B}:8080*`
const signal = new AbortController().signal

let lab: TcpLab

async function startProxy(more: Partial<IpvsBackendOptions> = {}) {
  const backend = await createIpvsBackend({
    options: OPTIONS,
    exec: lab.node.exec,
    log: silentLogger,
    nodeName: 'node-a',
    variant: 'legacy',
    ...more,
  })
  const reconciler = new Reconciler<IpvsObject>({ backend, clock: systemClock, onRefusal: () => undefined })
  return {
    backend,
    sync: (ports: readonly PortBuilder[], node: Partial<NodeForwarding> = NODE) =>
      reconciler.sync(aForwarding(ports, node), signal),
  }
}

const web = (...endpoints: readonly string[]) =>
  aPort('ns/web')
    .clusterIp(VIP)
    .endpoints(...endpoints)

beforeAll(async () => {
  lab = await TcpLab.create()
  await lab.serve(lab.podA, 'a', 8080)
  await lab.serve(lab.podB, 'b', 8080)
  await lab.serve(lab.node, 'host', 22)
})

afterAll(async () => {
  await lab.close()
})

describe('graceful termination and port reuse (kubernetes#81775, #90042, #92019):', () => {
  test('a client that uses its source port again does not come back to an endpoint that drains', async () => {
    const proxy = await startProxy()
    await proxy.sync([web(A)])
    const open = lab.connect(lab.client, VIP, 80)
    expect(await open.line()).toBe('open')
    const first = lab.connect(lab.client, VIP, 80, 40_000)
    expect(await first.line()).toBe('open')
    first.tell('reset')
    await first.close()
    await proxy.sync([web(B)])
    // The first connection keeps the endpoint draining, the second is one that IPVS still remembers.
    expect(await lab.who(lab.client, VIP, 80, 40_000)).toMatch(/^b /)
    expect(await open.ask('who')).toMatch(/^a /)
    await open.close()
  })

  test('a source port goes to one endpoint after the other, while no connection is open on it', async () => {
    const proxy = await startProxy()
    await proxy.sync([web(A, B)])
    const seen = new Set<string>()
    for (let i = 0; i < 4; i++) {
      const peer = lab.connect(lab.client, VIP, 80, 40_001)
      expect(await peer.line()).toBe('open')
      seen.add((await peer.ask('who')).slice(0, 1))
      peer.tell('reset')
      await peer.close()
    }
    expect([...seen].toSorted()).toEqual(['a', 'b'])
  })

  test('the weight of an endpoint that came back while the proxy was away is no longer 0', async () => {
    const first = await startProxy()
    await first.sync([web(A, B)])
    const open = lab.connect(lab.client, VIP, 80)
    await open.line()
    await first.sync([web(B)])
    await first.sync([web(A, B).affinity(300)])
    const second = await startProxy()
    await second.sync([web(A, B)])
    expect(await lab.node.run('ipvsadm', ['-S', '-n'])).not.toContain('-w 0')
    await open.close()
  })
})

describe('session affinity (kubernetes#71809, #110302):', () => {
  test('a client leaves an endpoint that drains, although it has a connection there', async () => {
    const proxy = await startProxy()
    await proxy.sync([web(A).affinity(300)])
    const old = lab.connect(lab.client, VIP, 80)
    expect(await old.line()).toBe('open')
    await proxy.sync([web(B).affinity(300)])
    expect(await lab.who(lab.client, VIP, 80)).toMatch(/^b /)
    expect(await old.ask('who')).toMatch(/^a /)
    await old.close()
  })

  test('a client stays with its endpoint through a restart of the proxy', async () => {
    const ports = [web(A, B).affinity(300)]
    await (await startProxy()).sync(ports)
    const before = await lab.who(lab.client, VIP, 80)
    await (await startProxy()).sync(ports)
    for (let i = 0; i < 3; i++) expect(await lab.who(lab.client, VIP, 80)).toBe(before)
  })
})

describe('the node on every address of a Service (kubernetes#72236, #75262; metallb#153):', () => {
  const onBalancer = () => web(A).loadBalancerIp(LOAD_BALANCER)

  test('ssh of the node does not answer on Service addresses, whoever asks', async () => {
    const proxy = await startProxy()
    await proxy.sync([onBalancer()])
    for (const ip of [VIP, LOAD_BALANCER])
      for (const who of [lab.podB, lab.client, lab.node])
        expect(await lab.who(who, ip, 22)).toBe('ECONNREFUSED')
    expect(await lab.who(lab.client, NODE_IP, 22)).toMatch(/^host /)
  })

  test('ARP for a load balancer address is answered, unless it is strict', async () => {
    await lab.client.run('ip', ['route', 'replace', LOAD_BALANCER, 'dev', 'eth0'])
    await (await startProxy()).sync([onBalancer()])
    expect(await lab.who(lab.client, LOAD_BALANCER, 80)).toMatch(/^a /)
    await (await startProxy({ ipvs: { strictArp: true } })).sync([onBalancer()])
    await lab.client.run('ip', ['neigh', 'flush', 'dev', 'eth0'])
    await lab.client.run('ip', ['route', 'replace', '169.254.1.1', 'dev', 'eth0'])
    expect(await lab.who(lab.client, LOAD_BALANCER, 80)).toBe('EHOSTUNREACH')
    expect(await lab.who(lab.client, NODE_IP, 22)).toMatch(/^host /)
  })
})

describe('two proxies on one node (kubernetes#55857):', () => {
  test('an address that another proxy translates is not dropped, although we know no Service there', async () => {
    const proxy = await startProxy()
    await proxy.sync([web(A)])
    await lab.node.run('ip', ['route', 'replace', '172.30.9.9', 'dev', 'client'])
    for (const chain of ['PREROUTING', 'OUTPUT'])
      await lab.node.run('iptables-legacy', [
        ...['-t', 'nat', '-A', chain, '-d', '172.30.9.9', '-p', 'tcp', '--dport', '80'],
        ...['-j', 'DNAT', '--to-destination', `${POD_A}:8080`],
      ])
    expect(await lab.who(lab.client, '172.30.9.9', 80)).toMatch(/^a /)
    expect(await lab.who(lab.node, '172.30.9.9', 80)).toMatch(/^a /)
  })
})

describe('no choice of the algorithm (kubernetes#75502, #121591):', () => {
  test('two nodes begin with different endpoints', async () => {
    const first = async (nodeName: string) => {
      const proxy = await startProxy({ nodeName })
      await proxy.sync([web()])
      await proxy.sync([web(A, B)])
      return (await lab.who(lab.client, VIP, 80)).slice(0, 1)
    }
    const names = ['node-a', 'node-b', 'node-c', 'node-d', 'node-e', 'node-f']
    const seen = []
    for (const name of names) seen.push(await first(name))
    expect(new Set(seen)).toEqual(new Set(['a', 'b']))
  })

  test('least connections go where the fewest are', async () => {
    const proxy = await startProxy()
    await proxy.sync([web(A).with({ ipvsScheduler: 'lc' })])
    const busy = [0, 1, 2].map(() => lab.connect(lab.client, VIP, 80))
    for (const peer of busy) expect(await peer.line()).toBe('open')
    await proxy.sync([web(A, B).with({ ipvsScheduler: 'lc' })])
    for (let i = 0; i < 2; i++) expect(await lab.who(lab.client, VIP, 80)).toMatch(/^b /)
    for (const peer of busy) await peer.close()
  })
})
