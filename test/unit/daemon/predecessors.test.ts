import type { Retirement } from '../../../src/backends/backend.ts'
import { DEFAULT_IPVS_SETTINGS } from '../../../src/backends/ipvs/ipvs-settings.ts'
import type { ExecRequest } from '../../../src/kernel/exec.ts'
import { type Predecessor, Predecessors, predecessorsOf } from '../../../src/daemon/predecessors.ts'
import { KernelError, type KernelErrorCode } from '../../../src/kernel/kernel-error.ts'
import { type Logger, silentLogger } from '../../../src/runtime/logger.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const HOUR_MS = 3_600_000

function failure(code: KernelErrorCode, message: string): KernelError {
  const facts = { command: ['tool'], exitCode: 1, stderr: '', script: '', line: undefined, remedy: 'none' }
  return new KernelError(message, { ...facts, code })
}

/** Answers one after the other; the last one again and again. */
function predecessor(...answers: (Retirement | Error)[]): Predecessor & { calls: number } {
  const one = {
    title: 'other mode',
    calls: 0,
    clear: async () => {
      const answer = answers[Math.min(one.calls++, answers.length - 1)] ?? { removed: [], waiting: 0 }
      if (answer instanceof Error) throw answer
      return Promise.resolve(answer)
    },
  }
  return one
}

function started(...predecessors: Predecessor[]) {
  return startedAfter(Promise.resolve(), predecessors)
}

function startedAfter(firstRound: Promise<unknown>, predecessors: readonly Predecessor[]) {
  const clock = new ManualClock()
  const lines: string[] = []
  const note = (level: string) => (_facts: object, sentence: string) =>
    void lines.push(`${level} ${sentence}`)
  const log: Logger = { ...silentLogger, info: note('info'), warn: note('warn') }
  const over = new AbortController()
  const subject = new Predecessors({
    family: 'IPv4',
    predecessors,
    firstRound,
    clock,
    log,
  })
  const ended = subject.run(over.signal)
  const stop = async (): Promise<void> => {
    over.abort()
    await clock.settle()
    await ended
  }
  return { clock, lines, subject, stop }
}

describe('Predecessors', () => {
  test('removes nothing before our own rules are in place, and looks again every hour', async () => {
    const other = predecessor({ removed: ['table'], waiting: 0 }, { removed: [], waiting: 0 })
    const { clock, lines, subject, stop } = started(other)
    await clock.advance(HOUR_MS)
    expect(other.calls).toBe(0)
    subject.synced()
    await clock.settle()
    expect(other.calls).toBe(1)
    await clock.advance(HOUR_MS - 1)
    subject.synced()
    await clock.settle()
    expect(other.calls).toBe(1)
    await clock.advance(1)
    expect(other.calls).toBe(2)
    expect(lines).toEqual(['info Took over from another mode'])
    await stop()
  })

  test('waits for the other families, which clients wait for', async () => {
    const other = predecessor({ removed: [], waiting: 0 })
    const round = Promise.withResolvers<undefined>()
    const { clock, subject, stop } = startedAfter(round.promise, [other])
    subject.synced()
    await clock.advance(60_000)
    expect(other.calls).toBe(0)
    round.resolve(undefined)
    await clock.settle()
    expect(other.calls).toBe(1)
    await stop()
  })

  test('waits for the open connections of one without bothering the others', async () => {
    const busy = predecessor(
      { removed: [], waiting: 2 },
      { removed: [], waiting: 1 },
      { removed: ['set'], waiting: 0 },
    )
    const other = predecessor({ removed: [], waiting: 0 })
    const { clock, subject, stop } = started(other, busy)
    subject.synced()
    await clock.advance(60_000)
    expect([other.calls, busy.calls]).toEqual([1, 3])
    await stop()
  })

  test.each<KernelErrorCode>(['missing-tool', 'unsupported'])(
    'takes %s for nothing to remove',
    async (code) => {
      const { clock, lines, subject, stop } = started(predecessor(failure(code, 'not here')))
      subject.synced()
      await clock.settle()
      expect(lines).toEqual([])
      await stop()
    },
  )

  test('tells a failure once, goes on with the others and tries again', async () => {
    const failing = predecessor(failure('busy', 'in use'), failure('busy', 'in use'), {
      removed: ['x'],
      waiting: 0,
    })
    const other = predecessor({ removed: [], waiting: 0 })
    const { clock, lines, subject, stop } = started(failing, other)
    subject.synced()
    await clock.advance(2 * HOUR_MS)
    expect([failing.calls, other.calls]).toEqual([3, 3])
    expect(lines).toEqual([
      'warn Cannot remove what another mode left behind',
      'info Took over from another mode',
    ])
    await stop()
  })

  test('ends when it is told to before there was any sync', async () => {
    const other = predecessor()
    const { stop } = started(other)
    await stop()
    expect(other.calls).toBe(0)
  })
})

test.each([
  ['nftables', ['iptables (nft)', 'iptables (legacy)', 'sets of iptables', 'ipvs']],
  ['iptables', ['nftables', 'iptables (legacy)', 'ipvs']],
  ['ipvs', ['nftables', 'iptables (legacy)', 'sets of iptables']],
] as const)('predecessorsOf() names everybody but %s', async (mode, titles) => {
  const config = { mode, iptablesVariant: 'nft', ipvs: DEFAULT_IPVS_SETTINGS } as const
  const options = { family: 'IPv4', detector: undefined, masqueradeMark: 0x4000, dropInvalid: true } as const
  const exec = {
    run: async () =>
      Promise.resolve({ exitCode: 0, stdout: 'iptables v1.8.9 (nf_tables)\n', stderr: '', durationMs: 0 }),
  }
  const found = await predecessorsOf({ config, options, exec, log: silentLogger, nodeName: 'node' })
  expect(found.map(({ title }) => title)).toEqual(titles)
})

test('what IPVS mode left is looked for without reading all rules of our own', async () => {
  const config = { mode: 'iptables', iptablesVariant: 'nft', ipvs: DEFAULT_IPVS_SETTINGS } as const
  const options = { family: 'IPv4', detector: undefined, masqueradeMark: 0x4000, dropInvalid: true } as const
  const commands: string[] = []
  const exec = {
    run: async ({ file, args }: ExecRequest) => {
      commands.push([file, ...args].join(' '))
      const stdout = args[0] === '--version' ? 'iptables v1.8.9 (nf_tables)\n' : ''
      return Promise.resolve({ exitCode: 0, stdout, stderr: '', durationMs: 0 })
    },
  }
  const found = await predecessorsOf({ config, options, exec, log: silentLogger, nodeName: 'node' })
  await found.find(({ title }) => title === 'ipvs')?.clear(new AbortController().signal)
  expect(commands).toContain('cat /proc/net/ip_vs')
  expect(commands.filter((command) => /-save -t/.test(command))).toEqual([])
})
