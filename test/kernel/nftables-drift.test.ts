/** Somebody else's hand in our table is noticed by counting; our own is not reported, nor what others do elsewhere. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { NetNamespace } from '../support/net-namespace.ts'

const ENTRY = `${import.meta.dirname}/../support/nft-listener.ts`

/** A conversation with test/support/nft-listener.ts. */
class Listener {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #lines: AsyncIterator<string>

  constructor(namespace: NetNamespace, ports: number) {
    const [file, ...args] = [
      ...namespace.prefix,
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      ENTRY,
      String(ports),
    ] as unknown as [string, ...string[]]
    this.#child = spawn(file, args, { stdio: 'pipe' })
    this.#child.stderr.pipe(process.stderr)
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error('The listener ended')
    return value
  }

  async ask(question: string): Promise<unknown> {
    this.#child.stdin.write(`${question}\n`)
    return JSON.parse(await this.line()) as unknown
  }

  async end(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.stdin.end()
    await ended
  }
}

let namespace: NetNamespace
let listener: Listener

async function start(ports: number): Promise<void> {
  namespace = await NetNamespace.create()
  listener = new Listener(namespace, ports)
  expect(await listener.line()).toBe('ready')
  expect(await listener.ask('open')).toBe(true)
}

afterEach(async () => {
  await listener.end()
  await namespace.close()
})

test.each([
  {
    what: 'an element',
    command: 'delete element ip kube-proxy service-ips { 172.30.0.1 . 6 . 80 }',
    told: 'set service-ips has 2 elements instead of 3',
  },
  {
    what: 'the rules of a chain',
    command: 'flush chain ip kube-proxy services',
    told: /^chain services has 0 rules instead of \d$/,
  },
  { what: 'the table', command: 'delete table ip kube-proxy', told: /^chain [\w-]+ is missing$/ },
  { what: 'everything', command: 'flush ruleset', told: /^chain [\w-]+ is missing$/ },
  {
    what: 'an element too many',
    command: 'add element ip kube-proxy cluster-ips { 192.0.2.1 }',
    told: 'set cluster-ips has 4 elements instead of 3',
  },
  {
    what: 'a set too many',
    command: 'add set ip kube-proxy x { type ipv4_addr; }',
    told: 'set x is not ours',
  },
])('probe() notices that somebody changed $what, and a sync repairs it', async ({ command, told }) => {
  await start(3)
  expect(await listener.ask('probe')).toBeNull()
  await namespace.run('nft', ['-f', '-'], `${command}\n`)
  const found = (await listener.ask('probe')) as string
  expect(found.replace('table ip kube-proxy: ', '')).toEqual(
    typeof told === 'string' ? told : expect.stringMatching(told),
  )
  expect(await listener.ask('repair 3')).toBeGreaterThan(0)
  expect(await listener.ask('probe')).toBeNull()
  expect(await listener.ask('repair 3')).toBe(0)
})

test('probe() says nothing about other tables and about our own writes, however large', async () => {
  await start(3)
  await namespace.run(
    'nft',
    ['-f', '-'],
    'add table ip other\nadd table ip6 kube-proxy\nadd set ip other s { type ipv4_addr; }\n',
  )
  expect(await listener.ask('probe')).toBeNull()
  // More than a socket that listens to everybody's changes can hold; we must not be one.
  const many = Array.from({ length: 60_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
  await namespace.run('nft', ['-f', '-'], `add element ip other s { ${many.join(', ')} }\n`)
  expect(await listener.ask('probe')).toBeNull()
  for (const ports of [4, 12_000, 5]) {
    expect(await listener.ask(`repair ${ports}`)).toBeGreaterThan(0)
    expect(await listener.ask('probe')).toBeNull()
  }
}, 60_000)

test('a change of elements alone starts no program, and is not taken for somebody else’s', async () => {
  await start(3)
  for (const ports of [4, 20, 5]) expect(await listener.ask(`follow ${ports}`)).toEqual({ scripts: 0 })
  expect(await listener.ask('probe')).toBeNull()
  expect(await listener.ask('repair 5')).toBe(0)
})

test('a change that netlink refuses is refused by nft, in words', async () => {
  await start(5)
  await namespace.run('nft', ['delete element ip kube-proxy service-ips { 172.30.0.5 . 6 . 80 }'])
  expect(await listener.ask('follow 4')).toEqual({ scripts: 1, code: 'missing-object' })
  expect(await listener.ask('repair 4')).toBeGreaterThan(0)
})
