import type { Exec, ExecRequest, StandingAnswer } from '../../../src/kernel/exec.ts'
import { Iptables, findIptables } from '../../../src/kernel/iptables.ts'
import { KernelError } from '../../../src/kernel/kernel-error.ts'

/** Answers by the whole command line; a program without any answer does not exist. */
class FakeTools implements Exec {
  readonly calls: string[] = []
  readonly #answers: Readonly<Record<string, string>>

  constructor(answers: Readonly<Record<string, string>>) {
    this.#answers = answers
  }

  run(request: ExecRequest) {
    const command = [request.file, ...request.args].join(' ')
    this.calls.push(command)
    const known = Object.keys(this.#answers).some((line) => line.split(' ')[0] === request.file)
    if (!known) return Promise.reject(missing(request.file))
    const stdout = this.#answers[command] ?? ''
    return Promise.resolve({ exitCode: 0, stdout, stderr: '', durationMs: 1 })
  }
}

function missing(file: string): KernelError {
  const failure = {
    command: [file],
    exitCode: undefined,
    stderr: '',
    script: '',
    line: undefined,
    remedy: '',
  }
  return new KernelError(`Cannot run ${file}`, { ...failure, code: 'missing-tool' })
}

const NFT = {
  'iptables --version': 'iptables v1.8.9 (nf_tables)\n',
  'iptables-nft --version': 'iptables v1.8.9 (nf_tables)\n',
  'iptables-nft-save --version': 'iptables-nft-save v1.8.9 (nf_tables)\n',
  'iptables-legacy --version': 'iptables v1.8.9 (legacy)\n',
  'iptables-legacy-save --version': 'iptables-legacy-save v1.8.9 (legacy)\n',
  'cat /proc/net/ip_tables_names': '',
}
const HINT = '*mangle\n:KUBE-IPTABLES-HINT - [0:0]\nCOMMIT\n'
const RULES = '*nat\n:X - [0:0]\n-A X -j RETURN\nCOMMIT\n'

test.each([
  { name: 'what iptables is', answers: {}, want: 'iptables-nft' },
  { name: "kubelet's hint in nft", answers: { 'iptables-nft-save -t mangle': HINT }, want: 'iptables-nft' },
  {
    name: "kubelet's hint in legacy, although nft has rules",
    answers: {
      'iptables-nft-save -t nat': RULES,
      'iptables-legacy-save -t mangle': HINT,
      'cat /proc/net/ip_tables_names': 'mangle\n',
    },
    want: 'iptables-legacy',
  },
  {
    name: 'rules that are there',
    answers: { 'iptables-legacy-save -t nat': RULES, 'cat /proc/net/ip_tables_names': 'nat\n' },
    want: 'iptables-legacy',
  },
])('findIptables() follows $name', async ({ answers, want }) => {
  const programs = await findIptables(new FakeTools({ ...NFT, ...answers }), 'IPv4', undefined)
  expect(programs).toMatchObject({ base: want, restore: `${want}-restore`, save: `${want}-save` })
})

test('findIptables() does not touch legacy tables that do not exist', async () => {
  const tools = new FakeTools(NFT)
  await findIptables(tools, 'IPv4', undefined)
  expect(tools.calls.filter((call) => call.startsWith('iptables-legacy'))).toEqual([])
})

test('findIptables() takes the variant that is asked for', async () => {
  expect(await findIptables(new FakeTools(NFT), 'IPv4', 'legacy')).toMatchObject({
    variant: 'legacy',
    base: 'iptables-legacy',
  })
})

test('findIptables() uses the plain program of an image that has only one', async () => {
  const tools = new FakeTools({
    'ip6tables --version': 'ip6tables v1.6.2\n',
    'cat /proc/net/ip6_tables_names': '',
  })
  expect(await findIptables(tools, 'IPv6', undefined)).toEqual({
    family: 'IPv6',
    variant: 'legacy',
    base: 'ip6tables',
    restore: 'ip6tables-restore',
    save: 'ip6tables-save',
  })
})

test('findIptables() refuses an iptables that is too old, with the remedy', async () => {
  const tools = new FakeTools({ 'iptables --version': 'iptables v1.4.21\n' })
  await expect(findIptables(tools, 'IPv4', undefined)).rejects.toMatchObject({
    code: 'unsupported',
    message: expect.stringMatching(/^Cannot use iptables v1\.4\.21: .*; install iptables 1\.6\.2 or newer$/),
  })
})

const LEGACY = { family: 'IPv4', variant: 'legacy', base: 'b', restore: 'r', save: 's' } as const

const WANTED = { filter: ['INPUT'], nat: ['OUTPUT', 'X'] }
const ANSWER =
  '-P INPUT ACCEPT\n-A INPUT -j X\n-N FAIRLEAD-END-OF-filter\n-P OUTPUT ACCEPT\n-N X\n-N FAIRLEAD-END-OF-nat\n'
const SAVED = '*filter\n:INPUT - [0:0]\n-A INPUT -j X\nCOMMIT\n*nat\n:OUTPUT - [0:0]\n:X - [0:0]\nCOMMIT\n'

test('listChains() reads all legacy chains by one program', async () => {
  const tools = new FakeTools({ 'r -w 5 --noflush --test': ANSWER })
  expect(await new Iptables(tools, LEGACY).listChains(WANTED)).toBe(SAVED)
  expect(tools.calls).toHaveLength(1)
})

test('listChains() reads each nft chain by itself', async () => {
  const tools = new FakeTools({
    'b -w 5 -t filter -S INPUT': '-P INPUT ACCEPT\n-A INPUT -j X\n',
    'b -w 5 -t nat -S OUTPUT': '-P OUTPUT ACCEPT\n',
    'b -w 5 -t nat -S X': '-N X\n',
  })
  expect(await new Iptables(tools, { ...LEGACY, variant: 'nft' }).listChains(WANTED)).toBe(SAVED)
})

/** Tools of which one can stay: it gives one answer after the other. */
class StandingTools extends FakeTools {
  readonly questions: string[] = []
  opened = 0
  readonly #said: (StandingAnswer | Error)[]

  constructor(said: readonly (StandingAnswer | Error)[]) {
    super({ 'r -w 5 --noflush --test': ANSWER })
    this.#said = [...said]
  }

  open() {
    this.opened++
    const program = {
      ended: false,
      ask: async (question: string): Promise<StandingAnswer> => {
        this.questions.push(question)
        const said = this.#said.shift() ?? { text: '', exitCode: 0 }
        program.ended = said instanceof Error || said.exitCode !== undefined
        return said instanceof Error ? Promise.reject(said) : Promise.resolve(said)
      },
    }
    return program
  }
}

const GOES_ON = { text: ANSWER, exitCode: undefined }

describe('listChains() of legacy iptables, with a program that stays,', () => {
  test('asks it again and again', async () => {
    const tools = new StandingTools([GOES_ON, GOES_ON, GOES_ON])
    const iptables = new Iptables(tools, LEGACY)
    for (let n = 0; n < 3; n++) expect(await iptables.listChains(WANTED)).toBe(SAVED)
    expect([tools.opened, tools.questions.length, tools.calls]).toEqual([1, 3, []])
    expect(tools.questions[0]).toBe(
      '*filter\n-S INPUT\n-N FAIRLEAD-END-OF-filter\n-S FAIRLEAD-END-OF-filter\nCOMMIT\n' +
        '*nat\n-S OUTPUT\n-S X\n-N FAIRLEAD-END-OF-nat\n-S FAIRLEAD-END-OF-nat\nCOMMIT\n',
    )
  })

  test('takes what it said before it ended at a chain that is missing, and starts another one', async () => {
    const text = '-P INPUT ACCEPT\n-N FAIRLEAD-END-OF-filter\n-P OUTPUT ACCEPT\n'
    const tools = new StandingTools([{ text, exitCode: 1 }, GOES_ON])
    const iptables = new Iptables(tools, LEGACY)
    expect(await iptables.listChains(WANTED)).toBe(
      '*filter\n:INPUT - [0:0]\nCOMMIT\n*nat\n:OUTPUT - [0:0]\nCOMMIT\n',
    )
    expect(await iptables.listChains(WANTED)).toBe(SAVED)
    expect([tools.opened, tools.calls]).toEqual([2, []])
  })

  test.each([
    { why: 'by itself, before it was asked', said: { text: '', exitCode: 0 } },
    { why: 'by a signal', said: { text: '', exitCode: null } },
    { why: 'because somebody held the lock', said: { text: '-P INPUT ACCEPT\n', exitCode: 4 } },
  ])('asks a program of its own when it ended $why', async ({ said }) => {
    const tools = new StandingTools([said, GOES_ON])
    const iptables = new Iptables(tools, LEGACY)
    expect(await iptables.listChains(WANTED)).toBe(SAVED)
    expect(tools.calls).toHaveLength(1)
    expect(await iptables.listChains(WANTED)).toBe(SAVED)
    expect([tools.opened, tools.calls.length]).toEqual([2, 1])
  })

  test('gives it up when it is silent', async () => {
    const tools = new StandingTools([new Error('no answer')])
    const iptables = new Iptables(tools, LEGACY)
    for (let n = 0; n < 3; n++) expect(await iptables.listChains(WANTED)).toBe(SAVED)
    expect([tools.opened, tools.calls.length]).toEqual([1, 3])
  })
})

test('requireTable() reads no rules in the nft variant, where that may take a minute', async () => {
  const tools = new FakeTools({ 'b -w 5 -t nat -S OUTPUT': '-P OUTPUT ACCEPT\n' })
  await new Iptables(tools, { ...LEGACY, variant: 'nft' }).requireTable('nat')
  expect(tools.calls).toEqual(['b -w 5 -t nat -S OUTPUT'])
  await expect(new Iptables(new FakeTools({}), LEGACY).requireTable('nat')).rejects.toThrow('Cannot run s')
})
