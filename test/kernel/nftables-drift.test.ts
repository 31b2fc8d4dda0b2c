/** Somebody else's hand in our table is noticed through the kernel's notifications; our own is not reported. */
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
  { what: 'an element', command: 'delete element ip kube-proxy service-ips { 172.30.0.1 . 6 . 80 }' },
  { what: 'the rules of a chain', command: 'flush chain ip kube-proxy services' },
  { what: 'the table', command: 'delete table ip kube-proxy' },
  { what: 'everything', command: 'flush ruleset' },
  { what: 'an element too many', command: 'add element ip kube-proxy cluster-ips { 192.0.2.1 }' },
])('probe() notices that somebody changed $what, and a sync repairs it', async ({ command }) => {
  await start(3)
  expect(await listener.ask('probe')).toBeNull()
  await namespace.run('nft', ['-f', '-'], `${command}\n`)
  expect(await listener.ask('probe')).toMatch(/^table ip kube-proxy was changed by process \d+ \(nft\)$/)
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
  for (const ports of [4, 12_000, 5]) {
    expect(await listener.ask(`repair ${ports}`)).toBeGreaterThan(0)
    expect(await listener.ask('probe')).toBeNull()
  }
}, 60_000)
