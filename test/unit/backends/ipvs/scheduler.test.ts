import { defaultScheduler, wantedSysctls } from '../../../../src/backends/ipvs/ipvs-settings.ts'
import { chooseScheduler, SCHEDULERS, serverWeights } from '../../../../src/backends/ipvs/plan-scheduler.ts'
import { IpvsSchedulers } from '../../../../src/kernel/ipvs-schedulers.ts'
import { KernelError } from '../../../../src/kernel/kernel-error.ts'
import { aPort } from '../../../support/forwarding-builder.ts'

const signal = new AbortController().signal
const equal = aPort('ns/web').endpoints('10.0.0.1:80=100', '10.0.0.2:80=100').build()
const weighted = aPort('ns/web').endpoints('10.0.0.1:80=50', '10.0.0.2:80=100').build()

describe('chooseScheduler()', () => {
  const context = { defaultScheduler: 'rr', unavailable: new Set(['mh']) }

  test.each([
    ['the default without a wish', {}, 'rr'],
    ['the annotation', { ipvsScheduler: 'dh' }, 'dh'],
    ['the annotation before the algorithm', { ipvsScheduler: 'dh', algorithm: 'source-hash' }, 'dh'],
    ['source hashing', { algorithm: 'source-hash' }, 'sh'],
    ['least connections', { algorithm: 'least-connection' }, 'lc'],
    ['round robin for a random choice, which IPVS lacks', { algorithm: 'random' }, 'rr'],
    ['hashing of the port where asked', { ipvsScheduler: 'sh-port' }, 'sh-port'],
    ['the default for a module that is missing', { ipvsScheduler: 'mh' }, 'rr'],
    ['the default for a flag of a module that is missing', { ipvsScheduler: 'mh-port' }, 'rr'],
    ['the default for nonsense', { ipvsScheduler: 'rr; -C' }, 'rr'],
  ] as const)('takes %s', (_, wishes, scheduler) => {
    expect(chooseScheduler({ ...equal, ...wishes }, context).scheduler).toBe(scheduler)
  })

  test('says why a wish is not followed', () => {
    const problem = (ipvsScheduler: string) => chooseScheduler({ ...equal, ipvsScheduler }, context).problem
    expect(problem('mh')).toBe('this kernel has no module ip_vs_mh; "rr" is used')
    expect(problem('best')).toContain('"best" is no IPVS scheduler (one of rr, wrr,')
    expect(problem('lc')).toBeUndefined()
    expect(chooseScheduler({ ...equal, algorithm: 'random' }, context).problem).toBe(
      'IPVS has no random choice; "rr" is used',
    )
  })

  test.each([
    [{}, 'wrr'],
    [{ algorithm: 'least-connection' }, 'wlc'],
    [{ ipvsScheduler: 'nq' }, 'sed'],
    [{ ipvsScheduler: 'sh' }, 'sh'],
  ] as const)('looks at weights where they differ: %j gives %s', (wishes, scheduler) => {
    expect(chooseScheduler({ ...weighted, ...wishes }, context).scheduler).toBe(scheduler)
  })
})

test('serverWeights() says 1 where all are equal', () => {
  expect(serverWeights(equal.pools.cluster)).toEqual([1, 1])
  expect(serverWeights(weighted.pools.cluster)).toEqual([50, 100])
})

test.each([
  ['', 'rr'],
  ['wlc', 'wlc'],
  ['mh', 'mh-port'],
])('defaultScheduler() of --ipvs-scheduler=%j is %s', (scheduler, wanted) => {
  expect(defaultScheduler({ scheduler })).toBe(wanted)
  expect(SCHEDULERS.has(wanted)).toBe(true)
})

describe('wantedSysctls()', () => {
  const keys = (kernel: string, strictArp = false) =>
    wantedSysctls({ strictArp }, kernel).map(
      ([key, value]) => `${key.split('/').slice(-2).join('/')}=${value}`,
    )

  test.each(['4.1.0', '5.4.0-200-generic', '5.8.18'])(
    'turns reuse of connections off on Linux %s',
    (kernel) => {
      expect(keys(kernel)).toContain('vs/conn_reuse_mode=0')
    },
  )

  test.each(['3.10.0', '5.9.0', '5.15.0', '6.1.176', '10.0.0'])('leaves it alone on Linux %s', (kernel) => {
    expect(keys(kernel).join()).not.toContain('conn_reuse_mode')
  })

  test('makes ARP strict only where asked', () => {
    expect(keys('6.1.0').join()).not.toContain('arp')
    expect(keys('6.1.0', true)).toEqual(expect.arrayContaining(['all/arp_ignore=1', 'all/arp_announce=2']))
  })
})

describe('IpvsSchedulers', () => {
  /** A kernel that has some schedulers, and remembers what it was told. */
  function kernelWith(...schedulers: readonly string[]) {
    const scripts: string[] = []
    const restore = (script: string): Promise<void> => {
      scripts.push(script)
      const bad = [...script.matchAll(/ -s (\S+)/g)].find((match) => !schedulers.includes(match[1] ?? ''))
      if (bad === undefined) return Promise.resolve()
      const failure = { command: [], exitCode: 255, stderr: '', script, line: undefined, remedy: '' }
      return Promise.reject(new KernelError('no such scheduler', { ...failure, code: 'unsupported' }))
    }
    return { scripts, control: { restore, list: () => Promise.resolve([]) } }
  }

  test('puts the default in place of what the kernel lacks, and knows it from then on', async () => {
    const { control } = kernelWith('rr', 'lc')
    const schedulers = new IpvsSchedulers(control, 'rr')
    const before = schedulers.context
    const script =
      '-A -t 10.0.0.1:80 -s mh -b mh-port\n-A -t 10.0.0.2:80 -s lc -p 300\n-A -t 10.0.0.3:80 -s mh -p 300\n'
    expect(await schedulers.withAvailable(script, signal)).toBe(
      '-A -t 10.0.0.1:80 -s rr\n-A -t 10.0.0.2:80 -s lc -p 300\n-A -t 10.0.0.3:80 -s rr -p 300\n',
    )
    expect(schedulers.context).not.toBe(before)
    expect(schedulers.context.unavailable).toEqual(new Set(['mh']))
  })

  test('tries each scheduler once', async () => {
    const { control, scripts } = kernelWith('rr')
    const schedulers = new IpvsSchedulers(control, 'rr')
    await schedulers.requireDefault(signal)
    await schedulers.withAvailable('-A -t 10.0.0.1:80 -s rr\n', signal)
    expect(scripts).toHaveLength(1)
  })

  test.each([
    [
      'best',
      'Cannot use the IPVS scheduler "best": there is no such scheduler; set --ipvs-scheduler to one of rr,',
    ],
    [
      'mh-port',
      'Cannot use the IPVS scheduler "mh-port": this kernel has no module ip_vs_mh; install the module,',
    ],
  ])('refuses "%s" as default', async (scheduler, message) => {
    await expect(
      new IpvsSchedulers(kernelWith('rr').control, scheduler).requireDefault(signal),
    ).rejects.toThrow(message)
  })
})
