/** The embedded API server in front of the real kubectl. */
import { jest } from '@jest/globals'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ApiServer } from '../../src/lab/api-server/api-server.ts'
import { refTo } from '../../src/lab/api-server/object-ref.ts'
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  NAMESPACES,
  PODS,
  SERVICES,
} from '../../src/lab/api-server/resources.ts'
import { type StoreEvent } from '../../src/lab/api-server/store.ts'

const isInstalled = spawnSync('kubectl', ['version', '--client']).status === 0
if (!isInstalled) console.log('kubectl.test.ts is skipped: kubectl is not installed')
const describeKubectl = isInstalled ? describe : describe.skip

jest.setTimeout(60_000)

interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

let server: ApiServer
let home: string

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'fairlead-kubectl-'))
  server = new ApiServer({
    tls: true,
    token: 'secret',
    gracefulPods: true,
    serviceCidrs: ['10.96.0.0/16', 'fd00:10:96::/112'],
  })
  await server.start()
  writeFileSync(join(home, 'kubeconfig'), server.kubeconfig())
})

afterAll(async () => {
  await server.stop()
  rmSync(home, { recursive: true, force: true })
})

function start(args: readonly string[]): ChildProcess {
  const env = {
    ...process.env,
    HOME: home,
    KUBECONFIG: join(home, 'kubeconfig'),
    KUBE_EDITOR: 'sed -i s/edit-me/edited/',
  }
  return spawn('kubectl', args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
}

async function kubectl(args: string, input?: unknown): Promise<Result> {
  const child = start(args.split(' '))
  const output = { stdout: '', stderr: '' }
  child.stdout?.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
  child.stdin?.end(input === undefined ? '' : JSON.stringify(input))
  const [code] = (await once(child, 'close')) as [number]
  return { code, ...output }
}

/** The standard output of a command that must succeed. */
async function must(args: string, input?: unknown): Promise<string> {
  const { code, stdout, stderr } = await kubectl(args, input)
  expect({ args, code, stderr: code === 0 ? '' : stderr }).toEqual({ args, code: 0, stderr: '' })
  return stdout
}

const web = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web' },
  spec: {
    selector: { app: 'web' },
    ports: [
      { name: 'http', port: 80, targetPort: 8080 },
      { name: 'https', port: 443, targetPort: 8443 },
    ],
  },
}
const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'web', image: 'web:1', ports: [{ containerPort: 8080 }] }] },
    },
  },
}

/** Makes every Pod run at once and lets go of those that are deleted; the result stops that. */
function playKubelet(): () => void {
  let lastAddress = 0
  return server.store.subscribe(({ type, definition, entry }: StoreEvent) => {
    const { metadata } = entry.object
    if (definition !== PODS || type === 'DELETED') return
    const ref = refTo(PODS, entry.object)
    if (metadata.deletionTimestamp !== undefined) server.registry.delete(ref, { gracePeriodSeconds: 0 })
    if (type !== 'ADDED') return
    const podIP = `10.1.0.${++lastAddress}`
    const conditions = [{ type: 'Ready', status: 'True' }]
    const status = { phase: 'Running', podIP, podIPs: [{ ip: podIP }], conditions }
    server.registry.modify(ref, (pod) => ({ ...pod, spec: { ...(pod['spec'] as object), nodeName: 'n1' } }))
    server.registry.modify(ref, (pod) => ({ ...pod, status }), { subresource: 'status' })
  })
}

describeKubectl('kubectl', () => {
  it('learns what the server has', async () => {
    expect(await must('version')).toContain('Server Version: v1.36')
    const resources = await must('api-resources')
    for (const name of ['services', 'endpointslices', 'servicecidrs', 'deployments'])
      expect(resources).toContain(name)
    expect(await must('explain service.spec.ports.targetPort')).toContain('IntOrString')
  })

  it('creates, changes and deletes a Service by apply', async () => {
    expect(await must('apply -f -', web)).toContain('service/web created')
    expect(await must('apply -f -', web)).toContain('service/web unchanged')
    const moved = { ...web, spec: { ...web.spec, ports: [{ ...web.spec.ports[0], port: 81 }] } }
    expect(await must('apply -f -', moved)).toContain('service/web configured')
    expect(await must('get service web -o jsonpath={.spec.ports[*].port}')).toBe('81')
    expect(await must('delete service web')).toContain('deleted')
    expect((await kubectl('get service web')).stderr).toContain('services "web" not found')
  })

  it('applies on the server side and takes out what is no longer applied', async () => {
    await must('apply --server-side -f -', web)
    const fewer = { ...web, spec: { ...web.spec, ports: web.spec.ports.slice(0, 1) } }
    await must('apply --server-side -f -', fewer)
    expect(await must('get service web -o jsonpath={.spec.ports[*].port}')).toBe('80')
    await must('delete service web')
  })

  it('is told what is wrong with an object', async () => {
    const unknown = await kubectl('apply -f -', { ...web, spec: { prots: [] } })
    expect(unknown.stderr).toContain('strict decoding error: unknown field "spec.prots"')
    const invalid = await kubectl('apply -f -', {
      ...web,
      spec: { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] },
    })
    expect(invalid.stderr).toContain('The range of valid ports is 30000-32767')
    expect(server.list(SERVICES)).toEqual([])
  })

  it('prints proper columns', async () => {
    await must('create -f -', { ...web, spec: { ...web.spec, type: 'NodePort' } })
    const [header = '', row = ''] = (await must('get services -o wide')).split('\n')
    expect(header.split(/\s{2,}/)).toEqual([
      'NAME',
      'TYPE',
      'CLUSTER-IP',
      'EXTERNAL-IP',
      'PORT(S)',
      'AGE',
      'SELECTOR',
    ])
    expect(row).toMatch(
      /^web\s+NodePort\s+10\.96\.\d+\.\d+\s+<none>\s+80:3\d{4}\/TCP,443:3\d{4}\/TCP\s+\d+s\s+app=web$/,
    )
    expect(await must('get namespaces')).toMatch(/default\s+Active/)
    expect(await must('get servicecidrs')).toMatch(/kubernetes\s+10\.96\.0\.0\/16,fd00:10:96::\/112/)
  })

  it('patches, labels, annotates and edits', async () => {
    await must('patch service web -p {"spec":{"ports":[{"port":443,"targetPort":9443}]}}')
    await must('patch service web --type=json -p [{"op":"remove","path":"/spec/ports/0"}]')
    await must('patch service web --type=merge -p {"spec":{"externalIPs":["192.0.2.1"]}}')
    await must('label service web tier=front')
    await must('annotate service web note=edit-me')
    await must('edit service web')
    const { metadata, spec } = JSON.parse(await must('get service web -o json')) as typeof web & {
      metadata: { labels: object; annotations: object }
    }
    expect(metadata).toMatchObject({ labels: { tier: 'front' }, annotations: { note: 'edited' } })
    expect(spec).toMatchObject({ ports: [{ port: 443, targetPort: 9443 }], externalIPs: ['192.0.2.1'] })
    expect(await must('get services -l tier=front -o name')).toBe('service/web\n')
    expect(await must('get services -l !tier -o name')).toBe('')
    await must('wait --for=jsonpath={.spec.type}=NodePort service/web --timeout=10s')
  })

  it('follows changes with get -w', async () => {
    const watch = start(['get', 'services', '-w', '-o', 'name'])
    const lines: string[] = []
    const stdout = watch.stdout
    if (stdout === null) throw new Error('kubectl has no standard output')
    await once(stdout, 'data')
    stdout.on('data', (chunk: Buffer) => lines.push(...chunk.toString().trim().split('\n')))
    // The list is printed before the watch begins; changes made in between are in the watch.
    server.create({ ...web, metadata: { name: 'second', namespace: 'default' } })
    while (!lines.includes('service/second')) await once(stdout, 'data')
    watch.kill()
    await once(watch, 'close')
    server.delete(SERVICES, 'second', 'default')
    expect(lines).toContain('service/second')
  })

  it('runs, scales, restarts and describes a workload', async () => {
    const stop = playKubelet()
    await must('apply -f -', deployment)
    await must('rollout status deployment web --timeout=20s')
    await must('scale deployment web --replicas=4')
    await must('wait --for=jsonpath={.status.readyReplicas}=4 deployment/web --timeout=20s')
    expect(await must('get deployment web')).toMatch(/web\s+4\/4\s+4\s+4/)
    const before = (await must('get pods -o name')).trim().split('\n')
    expect(before).toHaveLength(4)
    await must('rollout restart deployment web')
    await must('rollout status deployment web --timeout=20s')
    const after = (await must('get pods -o name')).trim().split('\n')
    expect(after).toHaveLength(4)
    expect(after.filter((name) => before.includes(name))).toEqual([])
    expect(await must('get pods')).toMatch(/web-[0-9a-f]{10}-[a-z0-9]{5}\s+0\/1\s+Running/)
    expect(await must('describe service web')).toMatch(/Endpoints:\s+10\.1\.0\.\d+:9443/)
    expect(await must('get endpointslices')).toMatch(
      /web-\w{5}\s+IPv4\s+9443\s+10\.1\.0\.\d+,.* \+ 1 more\.\.\./,
    )
    await must('delete deployment web')
    await must('wait --for=delete pod -l app=web --timeout=20s')
    expect(server.list(PODS)).toEqual([])
    stop()
  })

  it('keeps a Pod for its grace period unless it is deleted by force', async () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'slow' },
      spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'web:1' }] },
    }
    await must('apply -f -', pod)
    await must('delete pod slow --wait=false')
    expect(await must('get pod slow')).toMatch(/slow\s+0\/1\s+Terminating/)
    await must('delete pod slow --force --grace-period=0')
    expect(server.list(PODS)).toEqual([])
  })

  it('shows events of both APIs', async () => {
    const involvedObject = { kind: 'Service', namespace: 'default', name: 'web' }
    server.create({
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'web.1', namespace: 'default' },
      involvedObject,
      reason: 'Tested',
      message: 'It works',
      type: 'Normal',
    })
    expect(await must('get events')).toMatch(/Normal\s+Tested\s+service\/web\s+It works/)
    expect(await must('get events.events.k8s.io -o jsonpath={.items[0].note}')).toBe('It works')
    expect(await must('get events --field-selector involvedObject.name=other -o name')).toBe('')
  })

  it('creates what kubectl makes up itself and sends in protobuf', async () => {
    await must('create namespace made-up')
    await must('-n made-up create configmap settings --from-literal=key=value')
    await must('-n made-up create service nodeport plain --tcp=80:8080 --node-port=32000')
    await must('-n made-up create deployment run --image=web:1 --replicas=3 --port=8080 -- sleep 5')
    expect(server.list(CONFIG_MAPS, 'made-up')).toMatchObject([{ data: { key: 'value' } }])
    expect(server.list(SERVICES, 'made-up')).toMatchObject([
      {
        spec: {
          type: 'NodePort',
          ports: [{ port: 80, targetPort: 8080, nodePort: 32000 }],
          selector: { app: 'plain' },
        },
      },
    ])
    expect(server.list(DEPLOYMENTS, 'made-up')).toMatchObject([
      {
        spec: {
          replicas: 3,
          selector: { matchLabels: { app: 'run' } },
          template: {
            spec: {
              containers: [{ image: 'web:1', ports: [{ containerPort: 8080 }], command: ['sleep', '5'] }],
            },
          },
        },
      },
    ])
    await must('delete namespace made-up')
  })

  it('deletes a namespace with everything in it', async () => {
    await must('apply -f -', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } })
    await must('-n shop apply -f -', web)
    await must('delete namespace shop')
    expect(server.list(NAMESPACES).map(({ metadata }) => metadata.name)).not.toContain('shop')
    server.settle()
    expect(server.list(SERVICES, 'shop').concat(server.list(ENDPOINT_SLICES, 'shop'))).toEqual([])
  })

  it('is refused without the token', async () => {
    const { stderr } = await kubectl('--token=wrong get services')
    expect(stderr).toContain('You must be logged in to the server')
  })
})
