import {
  changed,
  clusterIp,
  clusterObjects,
  endpointIp,
  NAMESPACE,
  neededTargets,
  probed,
  replacementIp,
  sliceCount,
  udpEndpointIps,
} from '../../../bench/cluster.ts'
import { SCENARIOS } from '../../../bench/scenarios.ts'
import { decodeEndpointSlice } from '../../../src/model/decode-endpoint-slice.ts'
import { decodeService } from '../../../src/model/decode-service.ts'

test('clusterIp() gives 30,000 Services addresses of their own within the network', () => {
  const ips = Array.from({ length: 30_000 }, (_, service) => clusterIp(service))
  expect(new Set(ips).size).toBe(30_000)
  expect(ips.every((ip) => /^172\.30\.\d{1,3}\.\d{1,3}$/.test(ip) && ip !== '172.30.0.0')).toBe(true)
})

test('endpointIp() and replacementIp() never give an address twice', () => {
  const size = { services: 30_000, endpoints: 5 }
  const ips = new Set<string>()
  for (let service = 0; service < size.services; service++)
    for (let slot = 0; slot < size.endpoints; slot++) ips.add(endpointIp(size, service, slot))
  for (let n = 0; n < 110_000; n++) ips.add(replacementIp(n))
  expect(ips.size).toBe(260_000)
  expect([...ips].every((ip) => /^10\.(\d|1[0-5])\./.test(ip))).toBe(true)
})

test.each(SCENARIOS)('changed() of $name are Services that exist', (scenario) => {
  for (const service of [...Object.values(changed(scenario)), ...Object.values(probed(scenario))]) {
    expect(service).toBeGreaterThanOrEqual(0)
    expect(service).toBeLessThan(scenario.services)
  }
})

test('clusterObjects() are objects that the model understands, as many as the size says', () => {
  const size = { services: 7, endpoints: 230 }
  const objects = [...clusterObjects(size)]
  const services = objects.filter(({ kind }) => kind === 'Service')
  const all = objects.filter(({ kind }) => kind === 'EndpointSlice')
  const slices = all.filter(({ metadata }) => metadata.namespace === NAMESPACE)
  expect(services.filter(({ metadata }) => metadata.namespace === NAMESPACE)).toHaveLength(7)
  expect(slices).toHaveLength(7 * sliceCount(size))
  const endpoints = slices.map((slice) => slice['endpoints'] as readonly unknown[])
  expect(endpoints.flat()).toHaveLength(7 * 230)
  expect(Math.max(...endpoints.map(({ length }) => length))).toBeLessThanOrEqual(100)
  for (const service of services) expect(decodeService(service)).toMatchObject({ rejected: [] })
  for (const slice of all) expect(decodeEndpointSlice(slice, (text) => text)).toMatchObject({ rejected: [] })
})

test('clusterObjects() have what a node needs first, at addresses of its own', () => {
  const size = { services: 7, endpoints: 5 }
  const needed = [...clusterObjects(size)].filter(
    ({ kind, metadata }) => kind === 'Service' && metadata.namespace !== NAMESPACE,
  )
  expect(needed.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)).toEqual([
    'default/kubernetes',
    'kube-system/kube-dns',
  ])
  const taken = new Set(Array.from({ length: 7 }, (_, service) => clusterIp(service)))
  const addresses = neededTargets(size).map((target) => target.split(':')[0]!)
  expect(addresses.filter((ip) => taken.has(ip))).toEqual([])
  expect(needed.map(({ spec }) => (spec as { clusterIP: string }).clusterIP)).toEqual(addresses)
})

test('udpEndpointIps() are the endpoints of the Services that have a UDP port', () => {
  const size = { services: 10, endpoints: 2 }
  const want = [0, 5, 9].flatMap((service) => [endpointIp(size, service, 0), endpointIp(size, service, 1)])
  expect(udpEndpointIps(size)).toEqual(want)
})
