import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { measureRest } from '../../../bench/control-plane.ts'
import { parseOptions } from '../../../bench/options.ts'
import { cpuOf, parseCpu, parseMemory } from '../../../bench/process-cost.ts'
import { Progress, remainingText } from '../../../bench/progress.ts'
import { layoutJob, subjectJobs } from '../../../bench/runner.ts'
import { SCENARIOS } from '../../../bench/scenarios.ts'
import { parseIperf, parseWrk } from '../../../bench/sustained.ts'
import { parsePeer } from '../../../bench/subjects.ts'

test('parseOptions() without arguments means every scenario, and no peer', () => {
  const options = parseOptions([])
  expect(options.scenarios).toEqual(SCENARIOS)
  expect(options).toMatchObject({ quick: false, modes: [], peers: [], floor: true, out: 'bench/out' })
})

test('parseOptions() --quick means few scenarios with few repetitions', () => {
  const { scenarios } = parseOptions(['--quick'])
  expect(scenarios.map(({ name }) => name)).toEqual(['100x5', '1000x5'])
  for (const { changes, connections } of scenarios) expect([changes, connections]).toEqual([20, 1000])
})

test('parseOptions() takes scenarios, modes and peers as often as they are given', () => {
  const argv = ['--scenario', 'churn', '--scenario', '1x5000', '--mode', 'ipvs', '--mode', 'nftables']
  const options = parseOptions([...argv, '--peer', 'kube-proxy=/opt/a=b'])
  expect(options.scenarios.map(({ name }) => name)).toEqual(['churn', '1x5000'])
  expect(options.modes).toEqual(['ipvs', 'nftables'])
  expect(options.peers).toEqual([{ name: 'kube-proxy', path: '/opt/a=b' }])
})

test.each([
  { argv: ['--scenario', 'huge'], why: 'Cannot run the scenario "huge"' },
  { argv: ['--mode', 'iptables'], why: 'Cannot measure the mode "iptables"' },
  { argv: ['--peer', '/usr/bin/kube-proxy'], why: 'Cannot use the peer "/usr/bin/kube-proxy"' },
  { argv: ['--fast'], why: "Unknown option '--fast'" },
])('parseOptions() refuses $argv', ({ argv, why }) => {
  expect(() => parseOptions(argv)).toThrow(why)
})

test('subjectJobs() names a peer that cannot be run, also where a machine is booted for it', () => {
  const peer = parsePeer('kube-proxy=/no/such/program')
  for (const inUml of [false, true])
    expect(() => subjectJobs(SCENARIOS[0]!, 'ipvs', [peer], inUml)).toThrow(
      'Cannot run the peer kube-proxy: /no/such/program is no program that can be run (ENOENT); correct --peer',
    )
})

test('parsePeer() needs a name and a path', () => {
  expect(() => parsePeer('=x')).toThrow('write --peer kube-proxy=/path/to/kube-proxy')
  expect(() => parsePeer('x=')).toThrow('Cannot use the peer')
})

test('parseCpu() reads own time and that of ended children, whatever the program is called', () => {
  const text = '4711 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 30 20 20 0 1 0'
  expect(parseCpu(text)).toEqual({ own: 2000, tools: 500 })
})

test('cpuOf() counts programs that have not ended', async () => {
  const before = cpuOf(process.pid)
  const program = spawn('sh', ['-c', 'while :; do :; done'])
  try {
    while (cpuOf(process.pid).tools - before.tools < 50) await sleep(10)
  } finally {
    program.kill()
  }
})

test('measureRest() lets the proxy settle before it measures', async () => {
  const pauses: number[] = []
  const proxy = { pid: process.pid, assertAlive: () => undefined }
  const pause = async (ms: number): Promise<void> => {
    pauses.push(ms)
    await sleep(1)
  }
  const { residentMb } = await measureRest(proxy, { settleMs: 7, forMs: 3 }, pause)
  expect(pauses).toEqual([7, 3])
  expect(residentMb).toBeGreaterThan(0)
})

test('parseMemory() reads resident and peak memory', () => {
  expect(parseMemory('VmPeak:\t 99 kB\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\n')).toEqual({
    resident: 100,
    peak: 200,
  })
})

test('parseWrk() and parseIperf() read what the tools print', () => {
  expect(parseWrk('Latency 1ms\nRequests/sec:  11390.52\nTransfer/sec: 1MB\n')).toBe(11390.52)
  expect(parseWrk('unable to connect')).toBeNaN()
  expect(parseIperf('{"end":{"sum_received":{"bits_per_second":12500000000}}}')).toBe(12.5)
  expect(parseIperf('{"error":"busy"}')).toBeNaN()
})

test('Progress tells the time left from the pace so far', () => {
  const lines: string[] = []
  const time = { ms: 0 }
  const jobs = ['a', 'b', 'c'].map((name) => ({ name, expectedSeconds: 100 }))
  const progress = new Progress(jobs, { write: (line) => lines.push(line), now: () => time.ms })
  progress.next()
  time.ms = 200_000
  progress.next()
  expect(progress.remainingSeconds()).toBe(400)
  progress.step('changes')
  expect(lines).toEqual([
    '[1/3] a (about 5 min left)',
    '[2/3] b (about 7 min left)',
    '[2/3] b: changes (about 7 min left)',
  ])
})

test('remainingText() is coarse', () => {
  expect([5, 62, 100, 600].map(remainingText)).toEqual([
    'nearly done',
    'about 60 s left',
    'about 2 min left',
    'about 10 min left',
  ])
})

test('layoutJob() leaves out what would take minutes or tell nothing', () => {
  const job = (name: string, mode: Parameters<typeof layoutJob>[1]) =>
    layoutJob(
      SCENARIOS.find((scenario) => scenario.name === name)!,
      mode,
    )
  expect(job('10000x5', 'iptables-legacy')).toBeDefined()
  expect(job('10000x5', 'iptables-nft')).toBeUndefined()
  expect(job('1000x5', 'nftables')).toBeDefined()
  expect(job('1000x5', 'ipvs')).toBeUndefined()
  expect(job('churn', 'iptables-legacy')).toBeUndefined()
})

test('subjectJobs() measures a peer beside Fairlead, in the same machine where one must be booted', () => {
  const peer = { name: 'other', path: process.execPath }
  const [scenario] = SCENARIOS
  const jobs = subjectJobs(scenario!, 'nftables', [peer], false)
  expect(jobs.map(({ name, kind }) => [name.split(',')[0], kind])).toEqual([
    ['fairlead nftables', 'fairlead'],
    ['other nftables', 'peer'],
  ])
  const [ipvs, ...more] = subjectJobs(scenario!, 'ipvs', [peer], true)
  expect(more).toEqual([])
  expect(ipvs).toMatchObject({ subject: { program: 'fairlead' }, peers: [peer] })
})
