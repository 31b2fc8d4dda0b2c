import { setImmediate as nextTurn } from 'node:timers/promises'
import { IpsetSizes } from '../../../src/kernel/ipset-sizes.ts'
import { LocalAddresses } from '../../../src/kernel/local-addresses.ts'
import { encodeMessage, type ExchangeSocket, NetlinkExchange } from '../../../src/kernel/netlink-exchange.ts'
import { anIp } from '../../support/forwarding-builder.ts'

const DONE = 3
const ERROR = 2
const MULTI = 2

/** A kernel that answers the next question with these messages, each as type and body. */
class FakeKernel implements ExchangeSocket {
  readonly asked: Buffer[] = []
  #tell: ((message: Buffer) => void) | undefined
  #answer: readonly (readonly [type: number, body: Uint8Array])[] = []

  on(event: 'message' | 'error', listener: never): void {
    if (event === 'message') this.#tell = listener
  }

  willSay(...answer: readonly (readonly [type: number, body: Uint8Array])[]): void {
    this.#answer = answer
  }

  send(message: Uint8Array): void {
    this.asked.push(Buffer.from(message))
    const seq = Buffer.from(message).readUInt32LE(8)
    void nextTurn().then(() => {
      for (const [type, body] of this.#answer)
        this.#tell?.(Buffer.from(encodeMessage({ type, flags: MULTI, seq }, body)))
    })
  }

  ref(): void {}
  unref(): void {}
  close(): void {}
}

function attribute(type: number, ...value: readonly number[]): readonly number[] {
  const padding = new Array<number>(-value.length & 3).fill(0)
  return [4 + value.length, 0, type, 0, ...value, ...padding]
}

const text = (words: string) => [...Buffer.from(`${words}\0`)]

function route(bytes: readonly number[], { table = 255, type = 2, length = bytes.length * 8 } = {}) {
  const header = [bytes.length === 4 ? 2 : 10, length, 0, 0, table, 2, 0, type, 0, 0, 0, 0]
  return [24, Uint8Array.of(...header, ...attribute(1, ...bytes))] as const
}

const end = [DONE, Uint8Array.of(0, 0, 0, 0)] as const
const refusal = (errno: number) => [ERROR, Uint8Array.of(256 - errno, 255, 255, 255)] as const

describe('LocalAddresses', () => {
  const kernel = new FakeKernel()
  const addresses = new LocalAddresses(new NetlinkExchange(kernel))

  test('lists single addresses of the local table, and nothing else', async () => {
    kernel.willSay(
      route([172, 30, 0, 1]),
      route([127, 0, 0, 0], { length: 8 }),
      route([10, 0, 0, 1], { table: 254 }),
      route([10, 0, 0, 255], { type: 3 }),
      route([172, 30, 0, 2]),
      end,
    )
    expect(await addresses.all('IPv4')).toEqual(new Set(['172.30.0.1', '172.30.0.2']))
    kernel.willSay(route([0xfd, ...new Array<number>(14).fill(0), 1]), end)
    expect(await addresses.all('IPv6')).toEqual(new Set(['fd00::1']))
  })

  test.each([
    ['is local', route([172, 30, 0, 1]), true],
    ['is reached through a gateway', route([172, 30, 0, 1], { type: 1, table: 254 }), false],
    ['is reached by nobody', refusal(101), false],
  ])('knows an address that %s', async (_name, answer, isLocal) => {
    kernel.willSay(answer, end)
    expect(await addresses.has(anIp('172.30.0.1'))).toBe(isLocal)
    expect([...(kernel.asked.at(-1) ?? [])].slice(-4)).toEqual([172, 30, 0, 1])
  })
})

describe('IpsetSizes', () => {
  const kernel = new FakeKernel()
  const sizes = new IpsetSizes(new NetlinkExchange(kernel))
  const set = (name: string, ...data: readonly number[]) =>
    [
      (6 << 8) | 7,
      Uint8Array.of(2, 0, 0, 0, ...attribute(2, ...text(name)), ...attribute(7, ...data)),
    ] as const

  test('reads how many elements each set has', async () => {
    kernel.willSay(
      set('KUBE-CLUSTER-IP', ...attribute(24, 0, 0, 1, 2)),
      set('OLD', ...attribute(25, 0, 0, 0, 1)),
      end,
    )
    expect([...(await sizes.read())]).toEqual([
      ['KUBE-CLUSTER-IP', 258],
      ['OLD', undefined],
    ])
  })

  test('fails when the kernel refuses', async () => {
    kernel.willSay(refusal(1))
    await expect(sizes.read()).rejects.toMatchObject({ errno: 1 })
  })
})
