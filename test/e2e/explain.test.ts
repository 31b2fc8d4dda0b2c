/** Asking the built program on a real node, and what it does when it boots while the API server is gone. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { jest } from '@jest/globals'
import type { ExecResult } from '../../src/kernel/exec.ts'
import { kill, TestLab } from '../support/test-lab.ts'

jest.setTimeout(90_000)

const PROGRAM = [
  `${import.meta.dirname}/../../node_modules/node/bin/node`,
  `${import.meta.dirname}/../../dist/main.js`,
]

let test: TestLab
let proxy: ReturnType<TestLab['lab']['startProxy']>

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
    expect(new Set(port!['kernelObjects']!.map(({ inKernel }) => inKernel))).toEqual(new Set(['as planned']))
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
