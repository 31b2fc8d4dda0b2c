import { NftNotifications, type NotificationSocket } from '../../../src/kernel/nft-notifications.ts'

const NEWGEN = 15
const NEWSETELEM = 12

/** A socket that the test speaks through. */
class FakeSocket implements NotificationSocket {
  readonly #listeners = new Map<string, (value: never) => void>()

  on(event: 'message' | 'error', listener: (value: never) => void): void {
    this.#listeners.set(event, listener)
  }

  close(): void {
    this.#listeners.clear()
  }

  say(...messages: readonly Buffer[]): void {
    this.#listeners.get('message')?.(Buffer.concat(messages) as never)
  }

  fail(): void {
    this.#listeners.get('error')?.(new Error('ENOBUFS') as never)
  }
}

function attribute(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(4)
  header.writeUInt16LE(4 + payload.length, 0)
  header.writeUInt16LE(type, 2)
  return Buffer.concat([header, payload, Buffer.alloc(-payload.length & 3)])
}

/** One message as the kernel frames it. */
function message(type: number, family: number, ...attributes: readonly Buffer[]): Buffer {
  const body = Buffer.concat([Buffer.from([family, 0, 0, 0]), ...attributes])
  const header = Buffer.alloc(16)
  header.writeUInt32LE(16 + body.length, 0)
  header.writeUInt16LE((10 << 8) | type, 4)
  return Buffer.concat([header, body])
}

function element(table: string, family = 2): Buffer {
  return message(
    NEWSETELEM,
    family,
    attribute(1, Buffer.from(`${table}\0`)),
    attribute(2, Buffer.from('service-ips\0')),
  )
}

function generation(pid: number, name: string): Buffer {
  const number = Buffer.alloc(4)
  number.writeUInt32BE(pid)
  return message(
    NEWGEN,
    0,
    attribute(1, Buffer.alloc(4)),
    attribute(2, number),
    attribute(3, Buffer.from(`${name}\0`)),
  )
}

let socket: FakeSocket
let notifications: NftNotifications

beforeEach(() => {
  socket = new FakeSocket()
  notifications = new NftNotifications(socket, 'ip kube-proxy')
})

test('foreignChange() names who changed the table, once', () => {
  socket.say(element('kube-proxy'), element('kube-proxy'))
  expect(notifications.foreignChange()).toBeUndefined()
  socket.say(generation(4711, 'nft'))
  expect(notifications.foreignChange()).toBe('table ip kube-proxy was changed by process 4711 (nft)')
  expect(notifications.foreignChange()).toBeUndefined()
})

test.each([
  { what: 'another table', messages: [element('other'), generation(1, 'nft')] },
  { what: 'the table of the other family', messages: [element('kube-proxy', 10), generation(1, 'nft')] },
  { what: 'a longer name', messages: [element('kube-proxy-2'), generation(1, 'nft')] },
  {
    what: 'other subsystems',
    messages: [Buffer.from([24, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])],
  },
  { what: 'a message that ends early', messages: [element('kube-proxy').subarray(0, 22)] },
  { what: 'lengths that lie', messages: [Buffer.alloc(40), Buffer.alloc(40, 0xff)] },
])('foreignChange() says nothing about $what', ({ messages }) => {
  socket.say(...messages)
  expect(notifications.foreignChange()).toBeUndefined()
})

test('ownWrites() takes as many transactions for its own as were announced, not one more', async () => {
  const write = async (): Promise<string> => {
    socket.say(element('kube-proxy'), generation(2, 'nft'))
    socket.say(element('kube-proxy'), generation(3, 'nft'))
    return Promise.resolve('done')
  }
  expect(await notifications.ownWrites(2, write)).toBe('done')
  expect(notifications.foreignChange()).toBeUndefined()
  await notifications.ownWrites(1, write)
  expect(notifications.foreignChange()).toBe('table ip kube-proxy was changed by process 3 (nft)')
  socket.say(element('kube-proxy'), generation(5, 'x\x1b[31m'))
  expect(notifications.foreignChange()).toBe('table ip kube-proxy was changed by process 5 (x?[31m)')
})

test('foreignChange() reports notifications that were lost, unless our own write was too much to tell', async () => {
  await notifications.ownWrites(1, async () => {
    socket.fail()
    return Promise.resolve()
  })
  expect(notifications.foreignChange()).toBeUndefined()
  socket.fail()
  expect(notifications.foreignChange()).toBe('notifications about table ip kube-proxy were lost')
})
