/** What a question costs, and when a question is not asked. What is noticed on a real kernel: test/kernel/inside-uml/ipvs-drift.inside.ts. */
import { DriftProbe } from '../../../../src/backends/ipvs/drift-probe.ts'
import { KernelLedger } from '../../../../src/backends/ipvs/kernel-ledger.ts'
import { planGlue } from '../../../../src/backends/ipvs/plan-glue.ts'
import type { ExecRequest } from '../../../../src/kernel/exec.ts'
import { Iptables, type IptablesVariant } from '../../../../src/kernel/iptables.ts'
import type { Ip } from '../../../../src/net/ip.ts'
import { virtualServerAs } from '../../../../src/netfilter/ipvs/virtual-server.ts'

const signal = new AbortController().signal
const VIP = '-t 172.30.0.1:80'
const IPS = ['172.30.0.1', '172.30.0.2'] as Ip[]
const TABLE = 'TCP  AC1E0001:0050 rr\n'
const RULES = planGlue(
  { family: 'IPv4', detector: undefined, masqueradeMark: 0x4000, dropInvalid: true },
  { nodePortIps: [], serviceCidrs: [] },
).filter((object) => object.kind === 'chain' || object.kind === 'shared-rule')
/** What iptables-save would print of them. */
const SAVED = ['nat', 'filter', 'mangle']
  .map((table) => {
    const here = RULES.filter((rule) => rule.table === table)
    const chains = here.flatMap((rule) => (rule.kind === 'chain' ? [rule] : []))
    const builtIn = new Set(here.flatMap((rule) => (rule.kind === 'shared-rule' ? [rule.chain] : [])))
    return [
      `*${table}`,
      ...[...builtIn, ...chains.map(({ name }) => name)].map((name) => `:${name} - [0:0]`),
      ...here.flatMap((rule) => (rule.kind === 'shared-rule' ? [`-A ${rule.chain} ${rule.rule}`] : [])),
      ...chains.flatMap(({ name, rules }) => (rules ?? []).map((rule) => `-A ${name} ${rule}`)),
      'COMMIT',
      '',
    ].join('\n')
  })
  .join('')

/** A host that the test can change, and that counts what is asked of it. */
function bed(variant: IptablesVariant = 'legacy') {
  const host = {
    nowMs: 0,
    lookMs: 0,
    token: '1' as string | undefined,
    saved: SAVED,
    table: TABLE,
    local: IPS as readonly Ip[],
    sizes: new Map<string, number | undefined>(),
    hasServer: true,
    isForeign: false,
    calls: { programs: 0, tables: 0, sizes: 0, servers: 0, addresses: 0, routes: 0 },
  }
  const { calls } = host
  const ledger = new KernelLedger()
  ledger.observed([virtualServerAs(VIP, '-s rr')])
  const exec = {
    run: (_request: ExecRequest) => {
      calls.programs++
      return Promise.resolve({ exitCode: 0, stdout: host.saved, stderr: '', durationMs: 1 })
    },
  }
  const names = { base: 'iptables', restore: 'iptables-restore', save: 'iptables-save' }
  const probe = new DriftProbe({
    ledger,
    planner: { family: 'IPv4', rules: () => RULES, localIps: () => IPS },
    control: {
      has: () => {
        calls.servers++
        return Promise.resolve(host.hasServer)
      },
    },
    iptables: new Iptables(exec, { family: 'IPv4', variant, ...names }),
    clock: { now: () => host.nowMs, monotonic: () => host.nowMs, sleep: () => Promise.resolve() },
    senses: {
      isLocal: (ip) => {
        calls.addresses++
        return Promise.resolve(host.local.includes(ip))
      },
      localIps: () => {
        calls.routes++
        return Promise.resolve(new Set(host.local))
      },
      foreign: {
        ownWrites: (write) => write(),
        happened: () => {
          const hasHappened = host.isForeign
          host.isForeign = false
          return Promise.resolve(hasHappened)
        },
      },
      ruleToken: () => host.token,
      serverTable: () => {
        calls.tables++
        host.nowMs += host.lookMs
        return Promise.resolve(host.table)
      },
      setSizes: () => {
        calls.sizes++
        return Promise.resolve(host.sizes)
      },
    },
  })
  /** Questions at the interval of the pipeline; what the last one said. */
  const ask = async (times: number) => {
    let what: string | undefined
    for (let i = 0; i < times; i++) {
      what = (await probe.check(signal))?.what
      host.nowMs += 400
    }
    return what
  }
  return { ask, host, ledger, probe }
}

describe('DriftProbe', () => {
  test.each<[IptablesVariant]>([['legacy'], ['nft']])(
    'runs one program a minute and asks the kernel five things a question while nothing happens (%s)',
    async (variant) => {
      const { ask, host } = bed(variant)
      expect(await ask(150)).toBeUndefined()
      expect(host.calls).toEqual({
        programs: 1,
        sizes: 150,
        servers: 150,
        tables: 150,
        addresses: 150,
        routes: 150,
      })
    },
  )

  test('reads the table of virtual servers for no more than a hundredth of the time', async () => {
    const { ask, host } = bed()
    host.lookMs = 40
    await ask(100)
    expect(host.calls.tables).toBeLessThanOrEqual(Math.ceil(host.nowMs / (100 * 40)))
    expect(host.calls.tables).toBeGreaterThan(7)
  })

  test('reads the rules every second where the kernel gives no hint', async () => {
    const { ask, host } = bed()
    host.token = undefined
    await ask(10)
    expect(host.calls.programs).toBe(5)
    host.saved = SAVED.replace(/^-A PREROUTING .*$/m, '')
    expect(await ask(2)).toMatch(/^jump from nat PREROUTING is missing/)
  })

  test('reads the rules at once when the kernel has told of a change, and takes others’ changes for nothing', async () => {
    const { ask, host } = bed()
    await ask(3)
    host.token = '2'
    host.saved = SAVED.replace('*nat\n', '*nat\n:OTHER - [0:0]\n')
    expect(await ask(5)).toBeUndefined()
    expect(host.calls.programs).toBe(2)
    host.token = '3'
    host.saved = SAVED.replace(/^-A KUBE-POSTROUTING .*\n/m, '')
    expect(await ask(1)).toBe('chain nat KUBE-POSTROUTING holds other rules')
  })

  test('reads the rules of the nft variant when somebody else made a transaction', async () => {
    const { ask, host } = bed('nft')
    await ask(3)
    host.isForeign = true
    host.saved = SAVED.replace(':FL-MASQ ', ':GONE ')
    expect(await ask(1)).toBe('chain nat FL-MASQ is missing')
  })

  test.each<[string, Partial<ReturnType<typeof bed>['host']>, string]>([
    ['its first address', { local: [] }, 'address 172.30.0.1 is not local any more'],
    ['another address', { local: IPS.slice(0, 1) }, 'address 172.30.0.2 is not local any more'],
    ['a virtual server', { hasServer: false }, `virtual server "${VIP}" is missing`],
    [
      'a real server',
      { table: `${TABLE}  -> 0AF40002:1F90      Masq    1      0          0\n` },
      `virtual server "${VIP}" has other real servers`,
    ],
  ])('says that it has lost %s', async (_name, change, what) => {
    const { ask, host } = bed()
    await ask(1)
    Object.assign(host, change)
    expect(await ask(1)).toBe(what)
  })

  test('says nothing while nobody knows what should be there', async () => {
    const { ask, host, ledger } = bed()
    ledger.forget()
    host.hasServer = false
    expect(await ask(3)).toBeUndefined()
    expect(host.calls).toMatchObject({
      programs: 0,
      servers: 0,
      sizes: 0,
      tables: 0,
      addresses: 0,
      routes: 0,
    })
  })

  test('says nothing about what it saw while a write of our own began', async () => {
    const { host, probe } = bed()
    host.hasServer = false
    const question = probe.check(signal)
    await probe.ownWrite(() => Promise.resolve())
    expect(await question).toBeUndefined()
  })

  test('does not ask for a repair again that had nothing to do', async () => {
    const { ask, host, probe } = bed()
    host.table = 'TCP  AC1E0001:0050 other\n'
    expect(await ask(1)).toMatch(/has other options/)
    // The question came at a bad moment and nobody has looked.
    expect(await ask(1)).toMatch(/has other options/)
    probe.looked()
    expect(await ask(5)).toBeUndefined()
    host.local = []
    expect(await ask(1)).toMatch(/is not local/)
    await probe.ownWrite(() => Promise.resolve())
    host.local = IPS
    expect(await ask(1)).toMatch(/has other options/)
  })
})
