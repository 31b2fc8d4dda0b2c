import {
  type ConntrackLimits,
  keepRaised,
  raiseSysctls,
  wantedSysctls,
} from '../../../src/kernel/conntrack-sysctls.ts'
import type { Exec, ExecRequest } from '../../../src/kernel/exec.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const NOTHING: ConntrackLimits = {
  maxPerCore: 0,
  min: 131_072,
  tcpEstablishedTimeoutMs: 0,
  tcpCloseWaitTimeoutMs: 0,
  tcpBeLiberal: false,
  udpTimeoutMs: 0,
  udpStreamTimeoutMs: 0,
}

const MAX = '/proc/sys/net/netfilter/nf_conntrack_max'
const HASH = '/proc/sys/../../sys/module/nf_conntrack/parameters/hashsize'

/** Files as the programs see them; a value of `ro:N` cannot be written. */
function aKernel(files: Record<string, string>) {
  const writes: string[] = []
  const answer = (exitCode: number, stdout: string, stderr = '') =>
    Promise.resolve({ exitCode, stdout, stderr, durationMs: 0 })
  const exec: Exec = {
    run: ({ file, args, stdin }: ExecRequest) => {
      const paths = args.filter((arg) => arg.startsWith('/proc/'))
      if (file === 'grep') {
        const present = paths.filter((path) => files[path] !== undefined)
        const lines = present.map((path) => `${path}:${files[path]!.replace('ro:', '')}\n`)
        return answer(present.length === paths.length ? 0 : 2, lines.join(''))
      }
      const readOnly = paths.find((path) => files[path]?.startsWith('ro:') !== false)
      if (readOnly !== undefined) return answer(1, '', `tee: ${readOnly}: Permission denied\n`)
      for (const path of paths) {
        writes.push(`${path}=${stdin!.trim()}`)
        files[path] = stdin!.trim()
      }
      return answer(0, '')
    },
  }
  return { exec, files, writes }
}

describe('wantedSysctls()', () => {
  test.each<[Partial<ConntrackLimits>, number, Record<string, number>]>([
    [{}, 4, {}],
    [{ maxPerCore: 32_768 }, 2, { nf_conntrack_max: 131_072, hashsize: 32_768 }],
    [{ maxPerCore: 32_768 }, 16, { nf_conntrack_max: 524_288, hashsize: 131_072 }],
    [{ maxPerCore: 32_768 }, 128, { nf_conntrack_max: 1_048_576, hashsize: 262_144 }],
    [{ maxPerCore: 32_768, min: 2_000_000 }, 128, { nf_conntrack_max: 2_000_000, hashsize: 500_000 }],
    [{ tcpEstablishedTimeoutMs: 86_400_000 }, 1, { nf_conntrack_tcp_timeout_established: 86_400 }],
    [{ tcpCloseWaitTimeoutMs: 3_600_000 }, 1, { nf_conntrack_tcp_timeout_close_wait: 3600 }],
    [{ udpTimeoutMs: 30_500 }, 1, { nf_conntrack_udp_timeout: 30 }],
    [{ udpStreamTimeoutMs: 180_000 }, 1, { nf_conntrack_udp_timeout_stream: 180 }],
    [{ udpTimeoutMs: 999 }, 1, {}],
    [{ tcpBeLiberal: true }, 1, { nf_conntrack_tcp_be_liberal: 1 }],
  ])('for %j on %p processors asks for %j', (limits, cpus, want) => {
    const wanted = wantedSysctls({ ...NOTHING, ...limits }, cpus)
    expect(Object.fromEntries(wanted.map(({ key, least }) => [key.split('/').at(-1), least]))).toEqual(want)
    for (const { why } of wanted) expect(why).not.toBe('')
  })
})

describe('raiseSysctls()', () => {
  const wanted = wantedSysctls({ ...NOTHING, maxPerCore: 32_768 }, 2)
  const never = new AbortController().signal

  test('raises what is too low and says from where to where and why', async () => {
    const { exec, writes } = aKernel({ [MAX]: '65536', [HASH]: '16384' })
    expect(await raiseSysctls(exec, wanted, never)).toEqual([
      {
        key: 'net/netfilter/nf_conntrack_max',
        outcome: 'raised',
        from: 65_536,
        to: 131_072,
        why: 'conntrack.min',
      },
      expect.objectContaining({
        key: '/sys/module/nf_conntrack/parameters/hashsize',
        outcome: 'raised',
        to: 32_768,
      }),
    ])
    expect(writes).toEqual([`${MAX}=131072`, `${HASH}=32768`])
  })

  test('never lowers what an admin has set higher', async () => {
    const { exec, writes } = aKernel({ [MAX]: '9999999', [HASH]: '99999' })
    expect((await raiseSysctls(exec, wanted, never)).map(({ outcome }) => outcome)).toEqual([
      'high enough',
      'high enough',
    ])
    expect(writes).toEqual([])
  })

  test('reports what the kernel does not have and what it refuses, and throws neither', async () => {
    const { exec } = aKernel({ [MAX]: 'ro:1' })
    expect(await raiseSysctls(exec, wanted, never)).toEqual([
      expect.objectContaining({
        outcome: 'refused',
        value: 1,
        error: expect.objectContaining({ code: 'permission' }),
      }),
      { key: '/sys/module/nf_conntrack/parameters/hashsize', outcome: 'missing' },
    ])
  })
})

test('keepRaised() comes back until the module is loaded, and no longer', async () => {
  const kernel = aKernel({})
  const clock = new ManualClock()
  const wanted = wantedSysctls({ ...NOTHING, maxPerCore: 1 }, 1)
  const done = keepRaised(
    { exec: kernel.exec, wanted, clock, logger: silentLogger },
    new AbortController().signal,
  )
  await clock.advance(25_000)
  expect(kernel.writes).toEqual([])
  Object.assign(kernel.files, { [MAX]: '10', [HASH]: '10' })
  await clock.advance(10_000)
  expect((await done).map(({ outcome }) => outcome)).toEqual(['raised', 'raised'])
})

test('keepRaised() ends when it is told to', async () => {
  const stop = new AbortController()
  const wanted = wantedSysctls({ ...NOTHING, maxPerCore: 1 }, 1)
  const done = keepRaised(
    { exec: aKernel({}).exec, wanted, clock: new ManualClock(), logger: silentLogger },
    stop.signal,
  )
  stop.abort()
  expect(await done).toEqual([])
})
