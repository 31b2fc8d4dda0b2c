/** Answers without a proxy, for a node that is not this machine: nothing of this machine's kernel is involved. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { resolveConfig } from '../../../src/config/resolve-config.ts'
import { answerTo } from '../../../src/daemon/explain-answers.ts'
import { type LoneOptions, loneSource } from '../../../src/daemon/lone-source.ts'
import type { Explanation } from '../../../src/explain/explanation.ts'
import type { Exec } from '../../../src/kernel/exec.ts'
import type { ApiObject } from '../../../src/lab/api-server/api-object.ts'
import { ApiServer } from '../../../src/lab/api-server/api-server.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { WatchError } from '../../../src/watch/watch-error.ts'
import { aService, aSlice } from '../../support/builders.ts'

const NODE = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'far-away' },
  spec: { podCIDRs: ['10.244.7.0/24'] },
  status: { addresses: [{ type: 'InternalIP', address: '192.0.2.7' }] },
}
/** Programs that were run, although this machine is not the node. */
const programs: string[] = []
const exec: Exec = {
  run: async ({ file }) => {
    programs.push(file)
    return Promise.resolve({ exitCode: 0, stdout: '', stderr: '', durationMs: 0 })
  },
}

/** Builders give plain JSON. */
function object(apiVersion: string, kind: string, built: { build(): object }): ApiObject {
  return { ...built.build(), apiVersion, kind } as ApiObject
}

let folder: string
let api: ApiServer
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-alone-'))
  api = new ApiServer({ tls: true, token: 't' })
  await api.start()
  writeFileSync(join(folder, 'kubeconfig'), api.kubeconfig())
  api.create(NODE)
  const service = aService('default/web').clusterIp('10.96.0.9').nodePort(80, 30080)
  const slice = aSlice('default/web').port(8080).endpoint('10.244.7.5', { on: 'far-away' })
  api.create(object('v1', 'Service', service))
  api.create(object('discovery.k8s.io/v1', 'EndpointSlice', slice))
})
afterAll(async () => {
  await api.stop()
  rmSync(folder, { recursive: true, force: true })
})

function options(...flags: readonly string[]): LoneOptions {
  const argv = [`--kubeconfig=${join(folder, 'kubeconfig')}`, '--hostname-override=far-away', ...flags]
  const resolved = resolveConfig(argv)
  if (!('config' in resolved)) throw new Error('Cannot use these flags')
  return { config: resolved.config, exec, clock: systemClock, env: {}, version: 'test' }
}

async function answer(path: string, ...flags: readonly string[]): Promise<unknown> {
  const signal = AbortSignal.timeout(20_000)
  const source = await loneSource(options(...flags), signal)
  return answerTo(new URL(path, 'http://node'), { source, signal })
}

describe('loneSource()', () => {
  test('explains a Service as the proxy of that node would serve it, and says what it did not look at', async () => {
    const asked = answer('/explain?subject=web&from=10.244.7.5', '--detect-local-mode=NodeCIDR')
    const { node, remarks, ports } = (await asked) as Explanation
    expect(node).toBe('far-away')
    expect(remarks).toEqual([
      'worked out from the API server; no running proxy was asked',
      'this machine is not node far-away, so its kernel was not looked at',
    ])
    expect(ports).toHaveLength(1)
    expect(ports[0]!.frontends[0]).toMatchObject({
      address: '10.96.0.9:80/TCP',
      sender: { origin: 'pod', result: 'goes to 10.244.7.5:8080 (masqueraded)' },
    })
    expect(ports[0]!.endpoints).toMatchObject([
      { address: '10.244.7.5:8080', clusterPool: 'in: it is ready' },
    ])
    expect(ports[0]!.kernelObjects).toEqual([])
    expect(ports[0]!.connections).toBeUndefined()
    expect(programs).toEqual([])
  })

  test('finds a NodePort at the address of the node, not at those of this machine', async () => {
    const { ports } = (await answer('/explain?subject=192.0.2.7:30080')) as Explanation
    expect(ports.map(({ servicePort }) => servicePort)).toEqual(['default/web:/TCP'])
    const { nothing } = (await answer('/explain?subject=192.0.2.8:30080')) as Explanation
    expect(nothing).toHaveLength(1)
  })

  test('dumps what is decided, and does not compare with the kernel of another machine', async () => {
    expect(await answer('/dump/forwarding')).toMatchObject({
      rows: [{ kind: 'ClusterIP', address: '10.96.0.9:80/TCP' }, { kind: 'NodePort' }],
    })
    expect(await answer('/dump/endpoints')).toMatchObject({ rows: [{ endpoint: '10.244.7.5:8080' }] })
    expect(await answer('/dump/rejections')).toMatchObject({ rows: [] })
    expect(await answer('/dump/plan')).toMatchObject({ rows: [] })
    await expect(answer('/dump/everything')).rejects.toThrow('write one of forwarding, plan')
    expect(await answer('/nonsense')).toBeUndefined()
    await expect(answer('/diff')).rejects.toThrow(
      /^Cannot look at the kernel: this machine is not node far-away; run this on node far-away/,
    )
  })

  test('says what the API server refuses, instead of asking for ever', async () => {
    const refused = new ApiServer({ tls: true, token: 'another' })
    await refused.start()
    const kubeconfig = refused.kubeconfig().replace('another', 'wrong')
    writeFileSync(join(folder, 'refused'), kubeconfig)
    const asked = loneSource(options(`--kubeconfig=${join(folder, 'refused')}`), AbortSignal.timeout(20_000))
    await expect(asked).rejects.toBeInstanceOf(WatchError)
    await refused.stop()
  })
})
