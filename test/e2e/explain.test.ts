/** Asking the built program on a real node, and what it does when it boots while the API server is gone. */
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { jest } from '@jest/globals'
import type { ExplainedPort, Explanation } from '../../src/explain/explanation.ts'
import type { ExecResult } from '../../src/kernel/exec.ts'
import { POD_NETWORKS } from '../../src/lab/networks/pod-networks.ts'
import type { ApiObject } from '../../src/lab/api-server/api-object.ts'
import { describeKernel } from '../support/skip-reasons.ts'
import { kill, TestLab } from '../support/test-lab.ts'

jest.setTimeout(90_000)

const PROGRAM = [
  `${import.meta.dirname}/../../node_modules/node/bin/node`,
  `${import.meta.dirname}/../../dist/main.js`,
]

let test: TestLab
let proxy: ReturnType<TestLab['lab']['startProxy']>

describeKernel('on one node', ['namespaces'], () => {
  beforeAll(async () => {
    test = await TestLab.up({ nodes: 1, pods: 2 })
    proxy = test.lab.startProxy(test.node)
    await test.untilAnswered(test.clusterIp())
  }, 60_000)
  afterAll(async () => test.down())

  async function fairlead(...args: readonly string[]): Promise<ExecResult> {
    const [file = '', ...before] = PROGRAM
    return test.node.host.exec.run({ file, args: [...before, ...args] })
  }

  async function query(...args: readonly string[]): Promise<ExecResult> {
    return fairlead(...args, `--explain-socket=${test.lab.explainSocket(test.node)}`)
  }

  /** Without the proxy: what it would be told, from the same place. */
  async function alone(...args: readonly string[]): Promise<ExecResult> {
    const kubeconfig = join(test.lab.directory, 'kubeconfig-inside')
    const same = [
      '--mode=iptables',
      `--hostname-override=${test.node.host.name}`,
      ...POD_NETWORKS.bridge.flags,
    ]
    return fairlead(...args, `--kubeconfig=${kubeconfig}`, ...same)
  }

  async function explained(ask: typeof query, subject: string): Promise<Explanation> {
    const { stdout, stderr } = await ask('explain', subject, '-o', 'json')
    if (stdout === '') throw new Error(`No explanation: ${stderr}`)
    return JSON.parse(stdout) as Explanation
  }

  /** Of the rule that leads to the cluster IP of the Service. */
  function packetsOf({ kernelObjects }: ExplainedPort): number {
    for (const { key, lines, packets = [] } of kernelObjects) {
      const at = lines.findIndex((line) => key.startsWith('nat/') && line.includes(`-d ${test.clusterIp()}`))
      if (at >= 0) return packets[at] ?? 0
    }
    throw new Error('No rule leads to the cluster IP')
  }

  /** Open ones, to endpoints that are there. */
  function connectionsTo({ connections, endpoints }: ExplainedPort): number {
    return endpoints.reduce((sum, { address }) => sum + (connections!.byEndpoint[address] ?? 0), 0)
  }

  /** Says so when the connection is there, and keeps it. */
  function stayConnected(ip: string): ReturnType<typeof test.node.host.spawn> {
    const script = `require('node:net').connect(80, '${ip}', () => console.log('open'))`
    return test.node.host.spawn([process.execPath, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  }

  /** Without what goes on while one looks. */
  function comparable({ kernelObjects, connections, ...port }: ExplainedPort): object {
    const objects = kernelObjects.map(({ packets, ...object }) => ({
      ...object,
      isCounted: packets !== undefined,
    }))
    return { ...port, isCounted: connections !== undefined, objects }
  }

  async function healthz(): Promise<string> {
    return test.node.host.run('curl', ['-s', 'http://127.0.0.1:10256/healthz'])
  }

  describe('fairlead explain, dump and diff', () => {
    it('explain the frontends, endpoints and kernel objects of a Service', async () => {
      const { stdout, exitCode } = await query('explain', 'default/web', '-o', 'json')
      expect(exitCode).toBe(0)
      const [port] = (
        JSON.parse(stdout) as { ports: readonly Record<string, readonly Record<string, unknown>[]>[] }
      ).ports
      expect(port!['frontends']!.map(({ kind }) => kind)).toEqual(['ClusterIP', 'NodePort'])
      expect(port!['endpoints']!.map(({ clusterPool }) => clusterPool)).toEqual([
        'in: it is ready',
        'in: it is ready',
      ])
      expect(new Set(port!['kernelObjects']!.map(({ inKernel }) => inKernel))).toEqual(
        new Set(['as planned']),
      )
    })

    it('count the packets of rules and the open connections of endpoints', async () => {
      const [port] = (await explained(query, 'default/web')).ports
      const before = packetsOf(port!)
      const ended = connectionsTo(port!)
      for (let i = 0; i < 3; i++) await test.ask(test.clusterIp())
      const clients = [1, 2].map(() => stayConnected(test.clusterIp()))
      await Promise.all(clients.map(async ({ stdout }) => once(stdout!, 'data')))
      const [after] = (await explained(query, 'default/web')).ports
      clients.forEach((client) => client.kill())
      const { byFrontend = {} } = after!.connections ?? {}
      expect(byFrontend[`${test.clusterIp()}:80/TCP`]).toBe(connectionsTo(after!))
      expect(byFrontend['*:30080/TCP']).toBe(0)
      // One packet opens a connection, and no other of it is looked up; connections that have ended are not open.
      expect(packetsOf(after!)).toBe(before + 5)
      expect(connectionsTo(after!)).toBe(ended + 2)
    })

    it('say the same without the proxy, from a kubeconfig and the kernel', async () => {
      const asked = await explained(alone, 'default/web')
      const answered = await explained(query, 'default/web')
      expect(asked.remarks).toEqual(['worked out from the API server; no running proxy was asked'])
      expect(asked.ports.map(comparable)).toEqual(answered.ports.map(comparable))
      expect(await alone('diff')).toMatchObject({ exitCode: 0, stdout: 'No differences.\n' })
      const { stdout } = await alone('dump', 'plan')
      expect(stdout).toBe((await query('dump', 'plan')).stdout)
    })

    it('say why an address goes nowhere, with exit code 1', async () => {
      const { stdout, exitCode } = await query('explain', `${test.clusterIp()}:81`)
      expect(exitCode).toBe(1)
      expect(stdout).toContain('is a port that the ClusterIP does not have')
    })

    it('dump what is decided, and find no difference', async () => {
      const { stdout } = await query('dump', 'forwarding')
      expect(stdout).toContain(`${test.clusterIp()}:80/TCP`)
      expect(await query('diff')).toMatchObject({ exitCode: 0, stdout: 'No differences.\n' })
    })
  })

  describe('/metrics', () => {
    it('has what only the kernel knows', async () => {
      const text = await test.node.host.run('curl', ['-s', 'http://127.0.0.1:10249/metrics'])
      const valueOf = (series: string): number =>
        Number(
          text
            .split('\n')
            .find((line) => line.startsWith(`${series} `))
            ?.split(' ')[1],
        )
      const entries = valueOf('fairlead_conntrack_entries')
      expect(entries).toBeGreaterThan(0)
      expect(valueOf('fairlead_conntrack_limit')).toBeGreaterThan(entries)
      expect(valueOf('kubeproxy_iptables_ct_state_invalid_dropped_packets_total')).toBe(0)
      expect(valueOf('fairlead_health_check_ports{state="failed",ip_family="IPv4"}')).toBe(0)
      expect(valueOf('fairlead_config_reloads_total{outcome="refused"}')).toBe(0)
      expect(valueOf('kubeproxy_sync_proxy_rules_iptables_last{table="nat",ip_family="IPv4"}')).not.toBeNaN()
    })
  })

  interface BrokenSetUp {
    readonly what: string
    readonly service: Readonly<Record<string, unknown>>
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
    /** Of the one endpoint; without any of this there is none. */
    readonly endpoint?: { readonly nodeName: string; readonly conditions: Readonly<Record<string, boolean>> }
    /** Asked about, with `NAME` for the Service; default: the Service. */
    readonly question?: readonly string[]
    readonly told: RegExp
  }

  const PORTS = { ports: [{ port: 80, targetPort: 8080 }] }
  const READY = { ready: true, serving: true, terminating: false }
  const ELSEWHERE = { nodeName: 'node-9', conditions: READY }

  /** Services that do not work, each for another reason. */
  const BROKEN: readonly BrokenSetUp[] = [
    {
      what: 'no pod is selected',
      service: { ...PORTS, selector: { app: 'nobody' } },
      question: ['NAME', '--from=10.244.1.2'],
      told: /is refused at once: no endpoint of the Service can be used[^]*No endpoints in any EndpointSlice/,
    },
    {
      what: 'the pod is not ready',
      service: PORTS,
      endpoint: { nodeName: 'node-9', conditions: { ready: false, serving: false } },
      told: /10\.244\.9\.9:8080 .*not ready .*out: it is not ready/,
    },
    {
      what: 'the pod is about to go',
      service: PORTS,
      endpoint: { nodeName: 'node-9', conditions: { ready: false, serving: false, terminating: true } },
      told: /10\.244\.9\.9:8080 .*terminating .*out: /,
    },
    {
      what: 'external traffic is to stay on this node, and the pod is elsewhere',
      service: { ...PORTS, type: 'NodePort', externalTrafficPolicy: 'Local' },
      endpoint: ELSEWHERE,
      told: /NodePort [^]*from elsewhere: drop[^]*out: .*node/,
    },
    {
      what: 'internal traffic is to stay on this node, and the pod is elsewhere',
      service: { ...PORTS, internalTrafficPolicy: 'Local' },
      endpoint: ELSEWHERE,
      question: ['NAME', '--from=10.244.1.2'],
      told: /a connection from 10\.244\.1\.2 is dropped without an answer/,
    },
    {
      what: 'another proxy is to serve it',
      service: PORTS,
      labels: { 'service.kubernetes.io/service-proxy-name': 'somebody-else' },
      endpoint: ELSEWHERE,
      told: /Nothing to explain: no Service default\/\S+ is proxied: .*another proxy's label/,
    },
    {
      what: 'it has no cluster IP',
      service: { ...PORTS, clusterIP: 'None' },
      endpoint: ELSEWHERE,
      told: /Nothing to explain: no Service default\/\S+ is proxied: .*no cluster IP \(headless/,
    },
    {
      what: 'the port that is dialled is not the one of the Service',
      service: PORTS,
      endpoint: ELSEWHERE,
      question: ['NAME:8080'],
      told: /default\/\S+ has no such port or protocol: 8080/,
    },
    {
      what: 'another Service has its external address',
      service: { ...PORTS, externalIPs: ['192.0.2.50'] },
      endpoint: ELSEWHERE,
      told: /Problem: .*192\.0\.2\.50/,
    },
    {
      what: 'it asks for something that cannot be understood',
      service: PORTS,
      annotations: { 'fairlead.io/slow-start': 'soon' },
      endpoint: ELSEWHERE,
      told: /Problem: .*slow-start.*soon/,
    },
  ]

  describe('fairlead explain, of Services that do not work', () => {
    beforeAll(() => {
      const older = { ...PORTS, externalIPs: ['192.0.2.50'] }
      test.lab.api.create({
        ...{ apiVersion: 'v1', kind: 'Service' },
        metadata: { name: 'older', namespace: 'default' },
        spec: older,
      })
    })

    it.each(BROKEN.map((setUp, index) => [setUp.what, setUp, `broken-${index}`] as const))(
      'names the cause: %s',
      async (_, { service, labels, annotations, endpoint, question = ['NAME'], told }, name) => {
        const metadata = { name, namespace: 'default', labels, annotations }
        test.lab.api.create({ apiVersion: 'v1', kind: 'Service', metadata, spec: service } as ApiObject)
        if (endpoint !== undefined) test.lab.api.create(sliceOf(name, endpoint))
        const words = question.map((word) => word.replace('NAME', `default/${name}`))
        let text = ''
        await test
          .until(
            'the cause is named',
            async () => told.test((text = (await query('explain', ...words)).stdout)),
            10,
          )
          .catch(() => undefined)
        expect(text).toMatch(told)
      },
    )
  })

  function sliceOf(service: string, endpoint: NonNullable<BrokenSetUp['endpoint']>): ApiObject {
    const labels = { 'kubernetes.io/service-name': service }
    return {
      ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
      metadata: { name: `${service}-x`, namespace: 'default', labels },
      ports: [{ port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: ['10.244.9.9'], ...endpoint }],
    }
  }

  describe('a node that boots while the API server is gone', () => {
    it('has the Services that it had, says that they are remembered, and follows when the server returns', async () => {
      const file = join(dirname(test.lab.explainSocket(test.node)), 'cluster-state.jsonl')
      await test.until('the cluster state is on disk', () => existsSync(file))
      await kill(proxy, 'SIGKILL')
      await test.lab.api.stop()
      await fairlead('--cleanup')
      expect(await test.ask(test.clusterIp())).toContain('exit')
      proxy = test.lab.startProxy(test.node)
      await test.untilAnswered(test.clusterIp())
      expect(await healthz()).toContain('programmed from the state of')
      const metrics = await test.node.host.run('curl', ['-s', 'http://127.0.0.1:10249/metrics'])
      expect(metrics).toMatch(/^fairlead_programmed_from_disk 1$/m)
      await test.lab.api.start()
      await test.until(
        'nothing is remembered any more',
        async () => !(await healthz()).includes('programmed from'),
      )
      expect(await test.ask(test.clusterIp())).not.toContain('exit')
    })

    it('leaves a kernel alone that knows more than the disk', async () => {
      const file = join(dirname(test.lab.explainSocket(test.node)), 'cluster-state.jsonl')
      const before = readFileSync(file)
      const meta = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'late', namespace: 'default' } }
      const spec = { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] }
      test.lab.api.create({ ...meta, spec })
      await test.untilAnswered(test.clusterIp('late'))
      await kill(proxy, 'SIGKILL')
      writeFileSync(file, before)
      await test.lab.api.stop()
      const late = test.clusterIp('late')
      proxy = test.lab.startProxy(test.node)
      const log = (): string => readFileSync(test.lab.proxyLog(test.node), 'utf8')
      await test.until('the proxy has decided', () => log().includes('the kernel keeps what it has'))
      expect(await test.ask(late)).not.toContain('exit')
      expect(await healthz()).not.toContain('programmed from')
    })
  })
})
