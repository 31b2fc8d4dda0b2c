import type { Exec, ExecRequest } from '../../../src/kernel/exec.ts'
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

test('listChains() reads all legacy chains by one program', async () => {
  const tools = new FakeTools({ 'r -w 5 --noflush --test': '-P INPUT ACCEPT\n-A INPUT -j X\n-N X\n' })
  const text = await new Iptables(tools, LEGACY).listChains('filter', ['INPUT', 'X'])
  expect(text).toBe('*filter\n:INPUT - [0:0]\n-A INPUT -j X\n:X - [0:0]\nCOMMIT\n')
  expect(tools.calls).toHaveLength(1)
})

test('listChains() reads each nft chain by itself', async () => {
  const tools = new FakeTools({
    'b -w 5 -t filter -S INPUT': '-P INPUT ACCEPT\n',
    'b -w 5 -t filter -S X': '-N X\n',
  })
  const text = await new Iptables(tools, { ...LEGACY, variant: 'nft' }).listChains('filter', ['INPUT', 'X'])
  expect(text).toBe('*filter\n:INPUT - [0:0]\n:X - [0:0]\nCOMMIT\n')
})
