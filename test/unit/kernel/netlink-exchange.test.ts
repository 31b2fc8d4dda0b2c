import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  encodeMessage,
  NetlinkExchange,
  readAttributes,
  readMessages,
} from '../../../src/kernel/netlink-exchange.ts'
import { FakeSocket, refusal } from '../../support/fake-socket.ts'

const EXTRA = Uint8Array.of(1, 1, 0, 0)
const entry = (seq: number, letter: string, flags = 2) =>
  encodeMessage({ type: 99, flags, seq }, EXTRA, Buffer.from(letter))
const done = (seq: number) => encodeMessage({ type: 3, flags: 2, seq }, EXTRA, Buffer.alloc(0))
const question = { type: 99, extra: EXTRA, attributes: new Uint8Array() }
const texts = (found: readonly Buffer[]) => found.map(String)

describe('NetlinkExchange', () => {
  test('collects what the kernel lists, over several datagrams', async () => {
    const socket = new FakeSocket()
    const list = new NetlinkExchange(socket).list(question)
    await nextTurn()
    await socket.answer(entry(1, 'a'), entry(1, 'b'))
    await socket.answer(entry(1, 'c'), done(1))
    expect(texts(await list)).toEqual(['a', 'b', 'c'])
  })

  test('asks the second question when the first is answered, and mixes no answers', async () => {
    const socket = new FakeSocket()
    const exchange = new NetlinkExchange(socket)
    const first = exchange.list(question)
    const second = exchange.list(question)
    await nextTurn()
    expect(socket.sent).toHaveLength(1)
    await socket.answer(entry(1, 'a'), done(1))
    expect(socket.sent).toHaveLength(2)
    await socket.answer(entry(2, 'b', 0))
    expect([texts(await first), texts(await second)]).toEqual([['a'], ['b']])
  })

  test('passes on a refusal, and is there for the next question', async () => {
    const socket = new FakeSocket()
    const exchange = new NetlinkExchange(socket)
    const refused = exchange.list(question).catch((error: unknown) => error)
    await nextTurn()
    await socket.answer(refusal(1, 3))
    expect(await refused).toMatchObject({ errno: 3 })
    const next = exchange.list(question)
    await nextTurn()
    await socket.answer(done(2))
    expect(await next).toEqual([])
  })

  test('fails the question when the socket fails', async () => {
    const socket = new FakeSocket()
    const failed = new NetlinkExchange(socket).list(question).catch(String)
    await nextTurn()
    await socket.fail()
    expect(await failed).toContain('ENOBUFS')
  })
})

test('readMessages() and readAttributes() end where a length is wrong', () => {
  const whole = Buffer.from(entry(1, 'abcd'))
  expect([...readMessages(Buffer.concat([whole, whole.subarray(0, 18)]))]).toHaveLength(1)
  expect(readAttributes(Buffer.from([200, 0, 1, 0, 5])).size).toBe(0)
  expect(readAttributes(Buffer.from([2, 0, 1, 0])).size).toBe(0)
})
