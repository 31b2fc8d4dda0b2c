import { ClusterStore } from '../../../src/model/cluster-store.ts'
import type { ResourceKind } from '../../../src/model/resource-event.ts'
import { parseIp, type Ip } from '../../../src/net/ip.ts'
import { aService, aSlice } from '../../support/builders.ts'

function newStore(): ClusterStore {
  return new ClusterStore({ nodeName: 'a' })
}

function change(store: ClusterStore, resource: ResourceKind, ...objects: unknown[]): void {
  for (const object of objects) store.apply({ type: 'changed', resource, object })
}

function list(store: ClusterStore, resource: ResourceKind, ...objects: unknown[]): void {
  store.apply({ type: 'page', resource, first: true, objects })
  store.apply({ type: 'listed', resource })
}

function keys(store: ClusterStore): string[] {
  return [...store.snapshot().families.IPv4.servicePorts.keys()].sort()
}

function endpointTexts(store: ClusterStore, key: string): string[] {
  const { endpoints } = store.snapshot().families.IPv4
  return (endpoints.get(key as never) ?? []).map(
    ({ ip, port, nodeName }) => `${ip}:${port}@${nodeName ?? ''}`,
  )
}

const web = aService('ns/web').clusterIp('172.30.0.1').port(80)
const dns = aService('ns/dns').clusterIp('172.30.0.2', 'fd00::2').port(53, { protocol: 'UDP' })
const slice = aSlice('ns/web').port(8080).endpoint('10.0.0.1', { on: 'a' })

describe('ClusterStore', () => {
  test('ClusterStore.snapshot() is the same object until something differs', () => {
    const store = newStore()
    change(store, 'Service', web.build(), dns.build())
    change(store, 'EndpointSlice', slice.build())
    const first = store.snapshot()
    change(store, 'Service', { ...web.build(), status: {} })
    change(store, 'EndpointSlice', slice.build())
    change(store, 'Node', { metadata: { name: 'somebody-else' }, spec: { podCIDR: '10.0.0.0/8' } })
    expect(store.snapshot()).toBe(first)
    expect(first.revision).toBe(1)
  })

  test('ClusterStore.snapshot() shares with the one before all that no event touched', () => {
    const store = newStore()
    change(store, 'Service', web.build(), dns.build())
    change(store, 'EndpointSlice', slice.build())
    const first = store.snapshot()
    change(store, 'Service', web.affinity(10).build())
    const second = store.snapshot()
    expect(second.revision).toBe(2)
    expect(second.node).toBe(first.node)
    expect(second.families.IPv6).toBe(first.families.IPv6)
    expect(second.families.IPv4.endpoints).toBe(first.families.IPv4.endpoints)
    const changes = [...first.families.IPv4.servicePorts.changesTo(second.families.IPv4.servicePorts)]
    expect(changes.map(({ key }) => key)).toEqual(['ns/web:/TCP'])
  })

  test('ClusterStore.snapshot() of changes that cancel out is the one before', () => {
    const store = newStore()
    change(store, 'Service', web.build())
    const first = store.snapshot()
    change(store, 'Service', web.affinity(10).build(), web.build())
    store.apply({ type: 'deleted', resource: 'Service', object: web.build() })
    change(store, 'Service', web.build())
    expect(store.snapshot()).toBe(first)
  })

  test('ClusterStore forgets what a list does not hold when the list is complete, and not before', () => {
    const store = newStore()
    list(store, 'Service', web.build(), dns.build())
    store.apply({ type: 'page', resource: 'Service', first: true, objects: [dns.build()] })
    expect(keys(store)).toEqual(['ns/dns:/UDP', 'ns/web:/TCP'])
    store.apply({ type: 'listed', resource: 'Service' })
    expect(keys(store)).toEqual(['ns/dns:/UDP'])
  })

  test('ClusterStore starts a list anew when the one before broke off', () => {
    const store = newStore()
    list(store, 'Service', web.build(), dns.build())
    store.apply({ type: 'page', resource: 'Service', first: true, objects: [web.build()] })
    list(store, 'Service', dns.build())
    expect(keys(store)).toEqual(['ns/dns:/UDP'])
  })

  test('ClusterStore counts what changes during a list as part of it', () => {
    const store = newStore()
    list(store, 'Service', web.build())
    store.apply({ type: 'page', resource: 'Service', first: true, objects: [web.build()] })
    change(store, 'Service', dns.build())
    store.apply({ type: 'deleted', resource: 'Service', object: web.build() })
    store.apply({ type: 'listed', resource: 'Service' })
    expect(keys(store)).toEqual(['ns/dns:/UDP'])
  })

  test('ClusterStore forgets nothing at the end of a list without pages', () => {
    const store = newStore()
    list(store, 'Service', web.build())
    store.apply({ type: 'listed', resource: 'Service' })
    expect(keys(store)).toEqual(['ns/web:/TCP'])
  })

  test('ClusterStore.inSync() becomes true with the first complete list of a kind', () => {
    const store = newStore()
    store.apply({ type: 'page', resource: 'Service', first: true, objects: [] })
    expect(store.inSync('Service')).toBe(false)
    store.apply({ type: 'listed', resource: 'Service' })
    expect(store.inSync('Service')).toBe(true)
    expect(store.inSync('EndpointSlice')).toBe(false)
  })

  test('ClusterStore takes a slice away from its Service when the label changes or goes', () => {
    const store = newStore()
    const other = {
      ...slice.build(),
      metadata: { namespace: 'ns', name: 'web-1', labels: { 'kubernetes.io/service-name': 'dns' } },
    }
    const nobody = { ...slice.build(), metadata: { namespace: 'ns', name: 'web-1' } }
    change(store, 'EndpointSlice', slice.build())
    expect(endpointTexts(store, 'ns/web:/TCP')).toEqual(['10.0.0.1:8080@a'])
    change(store, 'EndpointSlice', other)
    expect(endpointTexts(store, 'ns/web:/TCP')).toEqual([])
    expect(endpointTexts(store, 'ns/dns:/TCP')).toEqual(['10.0.0.1:8080@a'])
    change(store, 'EndpointSlice', nobody)
    expect(store.snapshot().families.IPv4.endpoints.size).toBe(0)
  })

  test('ClusterStore chooses between duplicates by what they say, not by when they came', () => {
    const terminating = aSlice('ns/web', 'a')
      .port(80)
      .endpoint('10.0.0.1', { on: 'old', ready: false, terminating: true, serving: true })
    const unready = aSlice('ns/web', 'b').port(80).endpoint('10.0.0.1', { on: 'new', ready: false })
    const ready = aSlice('ns/web', 'c').port(80).endpoint('10.0.0.1', { on: 'newer' })
    const same = aSlice('ns/web', 'd').port(80).endpoint('10.0.0.1', { on: 'newest' })
    for (const order of [
      [terminating, unready, ready, same],
      [same, ready, unready, terminating],
    ]) {
      const store = newStore()
      change(store, 'EndpointSlice', ...order.map((one) => one.build()))
      expect(endpointTexts(store, 'ns/web:/TCP')).toEqual(['10.0.0.1:80@newer'])
      store.apply({ type: 'deleted', resource: 'EndpointSlice', object: ready.build() })
      expect(endpointTexts(store, 'ns/web:/TCP')).toEqual(['10.0.0.1:80@newest'])
      store.apply({ type: 'deleted', resource: 'EndpointSlice', object: same.build() })
      expect(endpointTexts(store, 'ns/web:/TCP')).toEqual(['10.0.0.1:80@new'])
    }
  })

  test('ClusterStore sorts endpoints by their text', () => {
    const store = newStore()
    const many = ['10.0.0.2', '10.0.0.10', '10.0.0.1'].reduce(
      (built, ip) => built.endpoint(ip),
      aSlice('ns/web').port(80),
    )
    change(store, 'EndpointSlice', many.build())
    expect(endpointTexts(store, 'ns/web:/TCP')).toEqual(['10.0.0.10:80@', '10.0.0.1:80@', '10.0.0.2:80@'])
  })

  test('ClusterStore keeps what it knows of a Node that goes, but for its eligibility', () => {
    const store = newStore()
    const node = {
      metadata: { name: 'a', labels: { 'topology.kubernetes.io/zone': 'z' } },
      status: { addresses: [{ type: 'InternalIP', address: '10.0.0.1' }] },
    }
    change(store, 'Node', node)
    store.setLocalIps(['10.0.0.1', '127.0.0.1', '10.0.0.1'].map((ip) => parseIp(ip) as Ip))
    expect(store.snapshot().node).toMatchObject({
      zone: 'z',
      eligible: true,
      localIps: ['10.0.0.1', '127.0.0.1'],
    })
    store.apply({ type: 'deleted', resource: 'Node', object: node })
    expect(store.snapshot().node).toMatchObject({
      zone: 'z',
      primaryIps: { IPv4: '10.0.0.1' },
      eligible: false,
    })
  })

  test('ClusterStore lets the operator’s addresses replace those of the Node', () => {
    const store = new ClusterStore({ nodeName: 'a', primaryIps: { IPv4: parseIp('9.9.9.9') as Ip } })
    expect(store.snapshot().node.primaryIps).toEqual({ IPv4: '9.9.9.9' })
    const addresses = ['10.0.0.1', 'fd00::1'].map((address) => ({ type: 'InternalIP', address }))
    change(store, 'Node', { metadata: { name: 'a' }, status: { addresses } })
    expect(store.snapshot().node.primaryIps).toEqual({ IPv4: '9.9.9.9', IPv6: 'fd00::1' })
  })

  test('ClusterStore joins the networks of all ServiceCIDRs, and keeps one that two of them have', () => {
    const store = newStore()
    const cidr = (name: string, ...cidrs: string[]) => ({ metadata: { name }, spec: { cidrs } })
    change(
      store,
      'ServiceCIDR',
      cidr('x', '10.2.0.0/16', 'fd00::/112'),
      cidr('y', '10.2.0.0/16', '10.1.0.0/16'),
    )
    expect(store.snapshot().families.IPv4.serviceCidrs).toEqual(['10.1.0.0/16', '10.2.0.0/16'])
    store.apply({ type: 'deleted', resource: 'ServiceCIDR', object: cidr('y') })
    expect(store.snapshot().families.IPv4.serviceCidrs).toEqual(['10.2.0.0/16'])
    expect(store.snapshot().families.IPv6.serviceCidrs).toEqual(['fd00::/112'])
  })

  test('ClusterStore.rejections() tells what is refused now, and forgets it with the object', () => {
    const store = newStore()
    change(store, 'Service', web.externalIp('x').build())
    change(store, 'EndpointSlice', { metadata: {} })
    expect(store.rejections().map(({ kind, object, field }) => `${kind} ${object} ${field}`)).toEqual([
      'EndpointSlice ? metadata.name',
      'Service ns/web spec.externalIPs[0]',
    ])
    change(store, 'Service', web.build())
    expect(store.rejections().map(({ kind }) => kind)).toEqual(['EndpointSlice'])
    change(store, 'Service', web.externalIp('x').build())
    store.apply({ type: 'deleted', resource: 'Service', object: web.build() })
    expect(store.rejections().map(({ kind }) => kind)).toEqual(['EndpointSlice'])
  })
})
