/** How often tables are read, on a host that the test can change. What is noticed is tried on a real kernel (test/kernel). */
import { JumpProbe } from '../../../../src/backends/iptables/jump-probe.ts'
import { JUMPS } from '../../../../src/backends/iptables/names.ts'
import type { ExecRequest } from '../../../../src/kernel/exec.ts'
import { Iptables } from '../../../../src/kernel/iptables.ts'

const signal = new AbortController().signal
const SERVICES = '0123456789abcdef 1'

/** What the program prints of the chains of a table that are as we left them. */
function listed(table: string): string {
  const jumps = JUMPS.filter((jump) => jump.table === table).map(({ chain, rule }) => `-A ${chain} ${rule}`)
  const services =
    table === 'nat'
      ? [`-N KUBE-SERVICES`, '-A KUBE-SERVICES -m comment --comment "x #0123456789abcdef" -j RETURN']
      : []
  const builtIn = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'].map(
    (chain) => `-P ${chain} ACCEPT`,
  )
  return [...builtIn, ...services, ...jumps, ''].join('\n')
}

/** The kernel's list of allocations as the test says it. */
class TestedIptables extends Iptables {
  allocations = 'a table'
  looks = 0

  override async tableAllocations(): Promise<string> {
    this.looks++
    return Promise.resolve(this.allocations)
  }
}

/** Legacy iptables with a `nat` table that takes `natMs` to read, asked once a second. */
function bed(natMs: number) {
  const host = { nowMs: 0, reads: { nat: 0, filter: 0 } }
  /** What the program that stays was asked for, and what others were. */
  const asked: Record<'standing' | 'others', string[]> = { standing: [], others: [] }
  const exec = {
    run: async ({ stdin = '' }: ExecRequest, by: keyof typeof asked = 'others') => {
      asked[by].push([...stdin.matchAll(/^\*(.*)$/gm)].map(([, table]) => table).join())
      const tables = (['filter', 'nat'] as const).filter((table) => stdin.includes(`*${table}\n`))
      for (const table of tables) host.reads[table]++
      if (tables.includes('nat')) host.nowMs += natMs
      const stdout = tables.map((table) => `${listed(table)}-N FAIRLEAD-END-OF-${table}\n`).join('')
      return Promise.resolve({ exitCode: 0, stdout, stderr: '', durationMs: 1 })
    },
    open: () => ({
      ended: false,
      ask: async (stdin: string) => {
        const { stdout } = await exec.run({ file: '', args: [], stdin }, 'standing')
        return { text: stdout, exitCode: undefined }
      },
    }),
  }
  const programs = {
    family: 'IPv4',
    variant: 'legacy',
    base: 'i',
    restore: 'i-restore',
    save: 'i-save',
  } as const
  const iptables = new TestedIptables(exec, programs)
  const clock = { now: () => host.nowMs, monotonic: () => host.nowMs, sleep: async () => Promise.resolve() }
  const probe = new JumpProbe({ iptables, clock, foreign: undefined })
  const ask = async (seconds: number): Promise<typeof host.reads> => {
    host.reads = { nat: 0, filter: 0 }
    for (let second = 0; second < seconds; second++) {
      host.nowMs += 1000
      expect(await probe.check(SERVICES, signal)).toBeUndefined()
    }
    return host.reads
  }
  return { ask, asked, iptables }
}

test('a small table is read every time, and then there is no need to look at allocations', async () => {
  const { ask, iptables } = bed(5)
  expect(await ask(60)).toEqual({ nat: 60, filter: 60 })
  expect(iptables.looks).toBe(1)
})

test.each([
  { natMs: 20, seconds: 100, reads: 10 },
  { natMs: 200, seconds: 500, reads: 10 },
])('a table that takes $natMs ms is read $reads times in $seconds s', async ({ natMs, seconds, reads }) => {
  const { nat, filter } = await bed(natMs).ask(seconds)
  expect(nat).toBeGreaterThanOrEqual(reads - 1)
  expect(nat).toBeLessThanOrEqual(reads)
  expect(filter).toBe(seconds)
})

test('a large table is read at once when the kernel has put another one in its place', async () => {
  const { ask, iptables } = bed(200)
  expect((await ask(5)).nat).toBe(1)
  iptables.allocations = 'another table'
  expect((await ask(1)).nat).toBe(1)
  expect((await ask(5)).nat).toBe(0)
})

test('a small table is read by the program that stays, a large one never', async () => {
  const small = bed(5)
  await small.ask(60)
  expect(small.asked).toEqual({ standing: Array(59).fill('filter,nat'), others: ['filter,nat'] })
  const large = bed(200)
  await large.ask(100)
  expect([...new Set(large.asked.standing)]).toEqual(['filter'])
  expect([...new Set(large.asked.others)]).toEqual(['filter,nat'])
})

/** The nft variant, where the kernel counts transactions and nobody but us makes any. */
function countedBed() {
  const host = { nowMs: 0, lists: 0, happened: false, fails: false }
  const exec = {
    run: async ({ args }: ExecRequest) => {
      host.lists++
      if (host.fails) return Promise.resolve({ exitCode: 4, stdout: '', stderr: 'no memory', durationMs: 1 })
      const [table = '', chain = ''] = [args[3], args[5]]
      const stdout = listed(table)
        .split('\n')
        .filter((line) => line.split(' ')[1] === chain)
        .join('\n')
      return Promise.resolve({ exitCode: 0, stdout: `${stdout}\n`, stderr: '', durationMs: 1 })
    },
  }
  const programs = {
    family: 'IPv4',
    variant: 'nft',
    base: 'i',
    restore: 'i-restore',
    save: 'i-save',
  } as const
  const clock = { now: () => host.nowMs, monotonic: () => host.nowMs, sleep: async () => Promise.resolve() }
  const foreign = {
    ownWrites: async <T>(write: () => Promise<T>): Promise<T> => write(),
    happened: async () => Promise.resolve(host.happened),
  }
  const probe = new JumpProbe({ iptables: new Iptables(exec, programs), clock, foreign })
  const listsIn = async (seconds: number): Promise<number> => {
    const before = host.lists
    for (let second = 0; second < seconds; second++) {
      host.nowMs += 1000
      expect(await probe.check(SERVICES, signal)).toBeUndefined()
    }
    return host.lists - before
  }
  return { host, probe, listsIn }
}

test('where the kernel counts transactions, nothing is read while nobody makes one', async () => {
  const { host, probe, listsIn } = countedBed()
  const once = await listsIn(1)
  expect(once).toBeGreaterThan(0)
  expect(await listsIn(600)).toBe(0)
  host.happened = true
  expect(await listsIn(2)).toBe(2 * once)
  host.happened = false
  await probe.ownWrite(async () => Promise.resolve())
  expect(await listsIn(600)).toBe(once)
})

test('a foreign transaction that could not be looked at is looked at later', async () => {
  const { host, probe, listsIn } = countedBed()
  await listsIn(1)
  Object.assign(host, { happened: true, fails: true })
  host.nowMs += 1000
  await expect(probe.check(SERVICES, signal)).rejects.toThrow('Cannot list chain')
  Object.assign(host, { happened: false, fails: false })
  expect(await listsIn(20)).toBeGreaterThan(0)
})
