import { setImmediate as nextTurn } from 'node:timers/promises'
import { NetlinkExchange, readMessages } from '../../../src/kernel/netlink-exchange.ts'
import { NftElements } from '../../../src/kernel/nft-elements.ts'
import { elementTypes } from '../../../src/netfilter/nftables/element-message.ts'
import { aContainer } from '../../../src/netfilter/nftables/ruleset.ts'
import { FakeSocket, refusal } from '../../support/fake-socket.ts'

const TYPES = elementTypes([aContainer('cluster-ips', 'set { type ipv4_addr; }')])
const SCRIPT = [
  'delete element ip kube-proxy cluster-ips { 172.30.0.1 }',
  'add element ip kube-proxy cluster-ips { 172.30.0.2, 172.30.0.3 }',
  '',
].join('\n')
/** Numbers of the messages that `SCRIPT` becomes. */
const [BEGIN, DELETE, ADD, END] = [1, 2, 3, 4] as const

function start() {
  const socket = new FakeSocket()
  const elements = new NftElements(new NetlinkExchange(socket))
  return { socket, write: async (script: string) => elements.write(script, TYPES) }
}

test('write() makes one transaction, and is done when the kernel says so of its last command', async () => {
  const { socket, write } = start()
  const outcome = write(SCRIPT)
  await nextTurn()
  const messages = socket.sent.map((bytes) => [...readMessages(bytes)])
  const [REQUEST, ACK, CREATE] = [0x1, 0x4, 0x400]
  expect(messages.map((of) => of.map(({ type, flags, seq }) => ({ type, flags, seq })))).toEqual([
    [
      { type: 16, flags: REQUEST, seq: BEGIN },
      { type: 0xa0e, flags: REQUEST, seq: DELETE },
      { type: 0xa0c, flags: REQUEST | ACK | CREATE, seq: ADD },
      { type: 17, flags: REQUEST, seq: END },
    ],
  ])
  await socket.answer(refusal(ADD, 0))
  expect(await outcome).toBe(true)
})

test.each([
  ['a command', [refusal(DELETE, 2), refusal(ADD, 0)]],
  ['the last command', [refusal(ADD, 2)]],
  ['all of it', [refusal(BEGIN, 1)]],
])('write() is false when the kernel refuses %s', async (_what, answers) => {
  const { socket, write } = start()
  const outcome = write(SCRIPT)
  await nextTurn()
  await socket.answer(...answers)
  expect(await outcome).toBe(false)
  // What was said of it afterwards is not taken for an answer to the next.
  const next = write(SCRIPT)
  await nextTurn()
  await socket.answer(refusal(ADD, 0), refusal(END + ADD, 0))
  expect(await next).toBe(true)
})

test.each([
  ['a command of another kind', `add chain ip kube-proxy pick-tcp-c5\n${SCRIPT}`],
  ['a set that it does not know', 'add element ip kube-proxy source-ranges { 10.0.0.0/8 }\n'],
  ['no such address', 'add element ip kube-proxy cluster-ips { 172.30.0.256 }\n'],
  ['nothing', ''],
  [
    'more than fits',
    `add element ip kube-proxy cluster-ips { ${Array<string>(2000).fill('172.30.0.1').join(', ')} }\n`,
  ],
])('write() leaves %s to nft', async (_what, script) => {
  const { socket, write } = start()
  expect(await write(script)).toBe(false)
  expect(socket.sent).toEqual([])
})
