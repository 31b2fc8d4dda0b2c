/** The built program on a real kernel, watching a real API server over TLS. */
import { readFileSync } from 'node:fs'
import type { ChildProcess } from 'node:child_process'
import { jest } from '@jest/globals'
import { DEPLOYMENTS, SERVICES } from '../../src/lab/api-server/resources.ts'
import { specOf } from '../../src/lab/api-server/api-object.ts'
import { Clients } from '../../src/lab/demo/clients.ts'
import { Tally } from '../../src/lab/demo/tally.ts'
import { describeKernel } from '../support/skip-reasons.ts'
import { kill, TestLab } from '../support/test-lab.ts'

jest.setTimeout(60_000)

const KILLS = 100

describeKernel('fairlead --mode iptables', ['namespaces'], () => {
  let test: TestLab
  let proxy: ChildProcess

  beforeAll(async () => {
    test = await TestLab.up({ nodes: 1, pods: 3 })
    proxy = test.lab.startProxy(test.node)
    await test.untilAnswered(test.clusterIp())
  }, 60_000)

  afterAll(async () => test.down())

  const repliesFrom = async (address: string, tries: number): Promise<Set<string>> => {
    const replies = new Set<string>()
    for (let i = 0; i < tries; i++) replies.add(await test.ask(address))
    return replies
  }

  it('spreads new connections over all ready pods, by ClusterIP and by NodePort', async () => {
    expect(await repliesFrom(test.clusterIp(), 60)).toEqual(test.readyPods())
    expect(await repliesFrom('192.168.100.1:30080', 60)).toEqual(test.readyPods())
  })

  it(`loses no connection while it is killed ${KILLS} times, at any moment of its start and work`, async () => {
    const tally = new Tally()
    const { host } = test.node
    const target = { kind: 'node', host, ip: test.clusterIp(), port: 80 } as const
    // Long enough for a pod that waits for its turn on a busy machine; a Service without rules fails at once, or for good.
    const settings = { paceMs: 20, timeoutMs: 15_000, atMostSeconds: 300 }
    const clients = new Clients([target], settings, (kind, report) => tally.add(kind, report))
    for (let round = 0; round < KILLS; round++) {
      // From before it reads its first byte to well after its first write.
      await new Promise((next) => setTimeout(next, (round * 37) % 900))
      await kill(proxy, 'SIGKILL')
      proxy = test.lab.startProxy(test.node)
    }
    await clients.stop()
    const { total } = tally.totals().node
    expect(tally.failures).toEqual([])
    expect(total).toBeGreaterThan(500)
  }, 300_000)

  it('follows pods that are replaced, and refuses at once when there is none', async () => {
    const ref = { definition: DEPLOYMENTS, namespace: 'default', name: 'web' }
    const scale = (replicas: number): void => {
      test.lab.api.registry.modify(ref, (current) => ({ ...current, spec: { ...specOf(current), replicas } }))
    }
    scale(0)
    await test.until('connections are refused', async () => (await test.ask(test.clusterIp())) === 'exit 7')
    scale(2)
    await test.until('both new pods answer', async () => {
      const seen = await repliesFrom(test.clusterIp(), 20)
      return seen.size === 2 && test.readyPods().size === 2
    })
    scale(3)
    await test.until('three pods are ready', () => test.readyPods().size === 3)
  })

  it('repairs what somebody else removes, and says what it was', async () => {
    const { host } = test.node
    await host.run('iptables', ['-w', '-t', 'nat', '-F', 'OUTPUT'])
    await host.run('iptables', ['-w', '-t', 'nat', '-F', 'PREROUTING'])
    await test.untilAnswered(test.clusterIp())
    const log = (): string => readFileSync(test.lab.proxyLog(test.node), 'utf8')
    await test.until('the log tells of the repair', () => log().includes('Repaired our kernel objects'))
    expect(log()).toMatch(/nat/)
  })

  it('writes nothing when it starts again', async () => {
    const { host } = test.node
    const saved = async (): Promise<string> =>
      (await host.run('iptables-save', [])).replace(/\[\d+:\d+\]|^#.*$/gm, '')
    const before = await saved()
    const log = (): string => readFileSync(test.lab.proxyLog(test.node), 'utf8')
    const seen = log().length
    await kill(proxy, 'SIGKILL')
    proxy = test.lab.startProxy(test.node)
    const lines = (): string[] =>
      log()
        .slice(seen)
        .split('\n')
        .filter((line) => line.includes('Brought the kernel in line'))
    await test.until('both families were read', () => lines().length === 2)
    for (const line of lines()) expect(line).toMatch(/created=0 {2}updated=0 {2}removed=0/)
    expect(await saved()).toBe(before)
  })

  it('keeps what is programmed while the API server is gone, and tells it', async () => {
    await test.lab.api.stop()
    expect(await test.ask(test.clusterIp())).not.toContain('exit')
    const health = await test.node.host.run('curl', ['-s', 'http://127.0.0.1:10256/healthz'])
    expect(JSON.parse(health)).toMatchObject({ healthy: true })
    await test.lab.api.start()
    const extra = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'late', namespace: 'default' } }
    const spec = { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] }
    test.lab.api.create({ ...extra, spec })
    await test.untilAnswered(test.clusterIp('late'))
    test.lab.api.delete(SERVICES, 'late', 'default')
  }, 60_000)
})
