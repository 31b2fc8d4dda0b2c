import { createNftablesBackend } from '../../../../src/backends/nftables/nftables-backend.ts'
import { atOnce } from '../../../../src/collections/sliced.ts'
import type { ExecRequest } from '../../../../src/kernel/exec.ts'
import { diffState } from '../../../../src/netfilter/kernel-state.ts'
import { type Logger, silentLogger } from '../../../../src/runtime/logger.ts'
import { aForwarding, aPort } from '../../../support/forwarding-builder.ts'

const { signal } = new AbortController()
const web = (...endpoints: readonly string[]) =>
  aForwarding([
    aPort('ns/web')
      .clusterIp('172.30.0.1')
      .endpoints(...endpoints),
  ])

/** `write` is what becomes of elements by netlink. */
async function start(write: (script: string) => Promise<boolean>) {
  const scripts: string[] = []
  const warnings: string[] = []
  const log: Logger = { ...silentLogger, warn: (_facts, message) => warnings.push(message) }
  const exec = {
    run: async ({ args, stdin }: ExecRequest) => {
      if (stdin !== undefined) scripts.push(stdin)
      const stdout = args[0] === '--version' ? 'nftables v1.0.6 (Lester Gooch #5)\n' : ''
      return Promise.resolve({ exitCode: 0, stdout, stderr: '', durationMs: 1 })
    },
  }
  const options = { family: 'IPv4', detector: undefined, masqueradeMark: 0x4000, dropInvalid: true } as const
  const backend = await createNftablesBackend({
    options,
    exec,
    log,
    kernelRelease: '6.1.0',
    elements: { write },
  })
  const have = backend.plan(web('10.0.0.1:80'))
  const change = atOnce(backend.script(diffState(backend.plan(web('10.0.0.2:80')), have)))
  return { scripts, warnings, change, apply: async () => backend.apply(change, signal) }
}

test('NftablesBackend.apply() gives nft what netlink leaves, and asks netlink again the next time', async () => {
  const asked: string[] = []
  const { scripts, warnings, change, apply } = await start((script) => {
    asked.push(script)
    return Promise.resolve(asked.length > 1)
  })
  await apply()
  await apply()
  expect(asked).toEqual([change[0]?.stdin, change[0]?.stdin])
  expect(scripts).toEqual([change[0]?.stdin])
  expect(warnings).toEqual([])
})

test('NftablesBackend.apply() uses nft from then on when the socket fails, and says so once', async () => {
  const { scripts, warnings, change, apply } = await start(() => Promise.reject(new Error('ENOBUFS')))
  await apply()
  await apply()
  expect(scripts).toEqual([change[0]?.stdin, change[0]?.stdin])
  expect(warnings).toEqual([
    'Cannot write elements by netlink; nft writes every change from now on, more slowly, until a restart',
  ])
})
