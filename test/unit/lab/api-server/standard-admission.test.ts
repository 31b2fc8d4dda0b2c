import { type ApiObject, specOf } from '../../../../src/lab/api-server/api-object.ts'
import { ApiServer } from '../../../../src/lab/api-server/api-server.ts'
import { type Json, type JsonObject, valueAt } from '../../../../src/lab/api-server/json.ts'
import { SERVICES } from '../../../../src/lab/api-server/resources.ts'
import { ask } from './api-client.ts'

const DUAL_STACK = ['10.96.0.0/16', 'fd00:10:96::/112']

function createServer(serviceCidrs: readonly string[] = ['10.96.0.0/16']): ApiServer {
  return new ApiServer({ serviceCidrs, nodePortRange: { from: 30000, to: 30009 } })
}

function service(name: string, spec: JsonObject): ApiObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: { ports: [{ port: 80 }], ...spec },
  }
}

function nodePorts(object: ApiObject): readonly Json[] {
  return (specOf(object)['ports'] as readonly JsonObject[]).map((port) => port['nodePort'] ?? 0)
}

describe('Service defaults', () => {
  it('are those of the API server', () => {
    const created = createServer().create(service('web', { selector: { app: 'web' } }))
    expect(created['spec']).toEqual({
      type: 'ClusterIP',
      clusterIP: '10.96.1.1',
      clusterIPs: ['10.96.1.1'],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
      selector: { app: 'web' },
      sessionAffinity: 'None',
    })
    expect(created['status']).toEqual({ loadBalancer: {} })
  })

  test.each([
    { name: 'single stack by default', spec: {}, families: ['IPv4'], policy: 'SingleStack' },
    {
      name: 'the family asked for',
      spec: { ipFamilies: ['IPv6'] },
      families: ['IPv6'],
      policy: 'SingleStack',
    },
    {
      name: 'both when dual stack is preferred',
      spec: { ipFamilyPolicy: 'PreferDualStack' },
      families: ['IPv4', 'IPv6'],
      policy: 'PreferDualStack',
    },
    {
      name: 'both in the order asked for',
      spec: { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6', 'IPv4'] },
      families: ['IPv6', 'IPv4'],
      policy: 'RequireDualStack',
    },
    {
      name: 'both for a headless Service without selector',
      spec: { clusterIP: 'None' },
      families: ['IPv4', 'IPv6'],
      policy: 'RequireDualStack',
    },
  ])('choose IP families: $name', ({ spec, families, policy }) => {
    const created = specOf(createServer(DUAL_STACK).create(service('web', spec)))
    expect(created).toMatchObject({ ipFamilies: families, ipFamilyPolicy: policy })
    if (created['clusterIP'] !== 'None')
      expect((created['clusterIPs'] as string[]).map((ip) => (ip.includes(':') ? 'IPv6' : 'IPv4'))).toEqual(
        families,
      )
  })
})

describe('Service allocation', () => {
  it('gives every Service its own cluster IP and node port', () => {
    const server = createServer()
    const created = ['a', 'b', 'c'].map((name) => server.create(service(name, { type: 'NodePort' })))
    expect(new Set(created.map((one) => specOf(one)['clusterIP'])).size).toBe(3)
    expect(new Set(created.flatMap(nodePorts)).size).toBe(3)
  })

  it('shares a node port between TCP and UDP of one port number', () => {
    const ports = [
      { name: 'tcp', port: 53, protocol: 'TCP' },
      { name: 'udp', port: 53, protocol: 'UDP' },
    ]
    const [tcp, udp] = nodePorts(createServer().create(service('dns', { type: 'NodePort', ports })))
    expect(tcp).toBe(udp)
  })

  it('gives a health check node port to a load balancer with local policy and takes it back', () => {
    const server = createServer()
    const created = server.create(service('web', { type: 'LoadBalancer', externalTrafficPolicy: 'Local' }))
    expect(specOf(created)).toMatchObject({ allocateLoadBalancerNodePorts: true })
    expect(specOf(created)['healthCheckNodePort']).toBeGreaterThanOrEqual(30000)
    const updated = server.update({
      ...created,
      spec: { ...specOf(created), externalTrafficPolicy: 'Cluster' },
    })
    expect(specOf(updated)['healthCheckNodePort']).toBeUndefined()
  })

  it('releases what a deleted Service had', () => {
    const server = createServer()
    const spec = { type: 'NodePort', clusterIP: '10.96.0.10', ports: [{ port: 80, nodePort: 30005 }] }
    server.create(service('a', spec))
    expect(() => server.create(service('b', spec))).toThrow('provided IP is already allocated')
    server.delete(SERVICES, 'a', 'default')
    expect(specOf(server.create(service('b', spec)))).toMatchObject({ clusterIP: '10.96.0.10' })
  })

  it('says so when all node ports are taken', () => {
    const server = createServer()
    for (let i = 0; i < 10; i++) server.create(service(`s${i}`, { type: 'NodePort' }))
    expect(() => server.create(service('one-more', { type: 'NodePort' }))).toThrow('range is full')
  })

  it('keeps addresses and ports of an update that leaves them out', () => {
    const server = createServer()
    const created = server.create(service('web', { type: 'NodePort' }))
    const updated = server.update(service('web', { type: 'NodePort', selector: { app: 'x' } }))
    expect(specOf(updated)['clusterIP']).toBe(specOf(created)['clusterIP'])
    expect(nodePorts(updated)).toEqual(nodePorts(created))
  })

  it('drops node ports when the type becomes ClusterIP', () => {
    const server = createServer()
    const created = server.create(service('web', { type: 'NodePort' }))
    const updated = server.update({ ...created, spec: { ...specOf(created), type: 'ClusterIP' } })
    expect(nodePorts(updated)).toEqual([0])
    expect(specOf(updated)['externalTrafficPolicy']).toBeUndefined()
  })

  it('adds and removes the second family with the policy', () => {
    const server = createServer(DUAL_STACK)
    const created = server.create(service('web', {}))
    const dual = server.update({
      ...created,
      spec: { ...specOf(created), ipFamilyPolicy: 'PreferDualStack' },
    })
    expect(specOf(dual)['clusterIPs']).toHaveLength(2)
    const single = server.update({ ...dual, spec: { ...specOf(dual), ipFamilyPolicy: 'SingleStack' } })
    expect(specOf(single)['clusterIPs']).toEqual(specOf(created)['clusterIPs'])
  })
})

describe('Service validation', () => {
  test.each([
    [{ ports: [] }, 'spec.ports: Required value'],
    [{ ports: [{ port: 0 }] }, 'spec.ports[0].port: Invalid value: 0'],
    [{ ports: [{ port: 80 }, { port: 81 }] }, 'spec.ports[0].name: Required value'],
    [{ ports: [{ port: 80, protocol: 'ICMP' }] }, 'spec.ports[0].protocol: Unsupported value: "ICMP"'],
    [
      {
        ports: [
          { name: 'a', port: 80 },
          { name: 'a', port: 81 },
        ],
      },
      'spec.ports[1].name: Duplicate value',
    ],
    [{ ports: [{ port: 80, nodePort: 30001 }] }, 'spec.ports[0].nodePort: Forbidden'],
    [{ type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] }, 'The range of valid ports is 30000-30009'],
    [{ type: 'Weird' }, 'spec.type: Unsupported value: "Weird"'],
    [{ type: 'ExternalName' }, 'spec.externalName: Required value'],
    [{ type: 'LoadBalancer', clusterIP: 'None' }, 'may not be set to'],
    [{ clusterIP: '192.168.1.1' }, 'The range of valid IPs is 10.96.0.0/16'],
    [{ clusterIP: 'nonsense' }, 'must be a valid IP address'],
    [{ ipFamilies: ['IPv6'] }, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'],
    [{ ipFamilyPolicy: 'RequireDualStack' }, 'this cluster is not configured for dual-stack services'],
    [{ externalIPs: ['1.2.3'] }, 'spec.externalIPs[0]: Invalid value'],
    [{ loadBalancerSourceRanges: ['10.0.0.0'] }, 'spec.loadBalancerSourceRanges[0]: Invalid value'],
    [{ healthCheckNodePort: 30001 }, 'spec.healthCheckNodePort: Invalid value'],
    [
      { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } },
      'must be greater than 0',
    ],
  ])('refuses %j', (spec, message) => {
    const create = () => createServer().create(service('web', spec))
    expect(create).toThrow(message)
    expect(create).toThrow(expect.objectContaining({ code: 422, reason: 'Invalid' }))
  })

  it('refuses another cluster IP for a Service that has one', () => {
    const server = createServer()
    const created = server.create(service('web', {}))
    const changed = {
      ...created,
      spec: { ...specOf(created), clusterIP: '10.96.9.9', clusterIPs: ['10.96.9.9'] },
    }
    expect(() => server.update(changed)).toThrow(
      'spec.clusterIPs[0]: Invalid value: ["10.96.9.9"]: may not change once set',
    )
  })

  it('refuses a Service in a namespace that does not exist', () => {
    const lost: ApiObject = { ...service('web', {}), metadata: { name: 'web', namespace: 'nowhere' } }
    expect(() => createServer().create(lost)).toThrow('namespaces "nowhere" not found')
  })
})

describe('Field validation of requests', () => {
  const path = '/api/v1/namespaces/default/services'
  let server: ApiServer
  beforeEach(async () => {
    server = createServer()
    await server.start()
  })
  afterEach(() => server.stop())

  it('refuses, reports or drops unknown fields as the client wants it', async () => {
    const body = service('web', { prots: [] })
    const strict = await ask(server, `${path}?fieldValidation=Strict`, { method: 'POST', body })
    expect(strict).toMatchObject({
      code: 400,
      body: {
        message:
          'Service in version "v1" cannot be handled as a Service: strict decoding error: unknown field "spec.prots"',
      },
    })
    const warned = await ask(server, path, { method: 'POST', body })
    expect(warned.code).toBe(201)
    expect(warned.headers.get('warning')).toContain('unknown field')
    expect(valueAt(warned.body, ['spec', 'prots'])).toBeUndefined()
  })

  it.each([
    [{ ports: 'http' }, 'cannot unmarshal string into Go struct field Service.spec.ports'],
    [{ ports: [{ port: '80' }] }, 'Service.spec.ports[0].port of type int32'],
    [{ selector: { app: 1 } }, 'Service.spec.selector.app of type string'],
    [{ publishNotReadyAddresses: 'yes' }, 'of type boolean'],
  ])('refuses the wrong type in %j with 400', async (spec, message) => {
    const { code, body } = await ask(server, path, {
      method: 'POST',
      body: service('web', spec),
    })
    expect(code).toBe(400)
    expect(body['message']).toContain(message)
  })
})
