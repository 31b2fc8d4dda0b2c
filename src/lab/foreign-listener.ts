/**
 * Listens on an address of another namespace. A socket belongs to the namespace that made it, whoever uses it; so a
 * short-lived process inside opens it and hands it over.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Server, type Socket } from 'node:net'
import type { NetHost } from './net-host.ts'

/** The process inside: listens, hands the listening socket to its parent, and ends. */
const OPEN_AND_HAND_OVER = `
const server = require('node:net').createServer()
server.listen(Number(process.argv[2]), process.argv[1], () =>
  process.send('listening', server, () => process.exit(0)))
`

/** Connections to `ip:port` inside `host` end at `target` on our own loopback. */
export async function forwardIntoLab(
  host: NetHost,
  listen: { readonly ip: string; readonly port: number },
  target: { readonly port: number },
): Promise<Server> {
  const command = [process.execPath, '-e', OPEN_AND_HAND_OVER, listen.ip, String(listen.port)]
  const child = host.spawn(command, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const server = await handedOver(child)
  server.on('connection', (client: Socket) => join(client, connect(target.port, '127.0.0.1')))
  return server
}

/** Waits for the process to end: as long as it lives it would take connections itself. */
async function handedOver(child: ChildProcess): Promise<Server> {
  let received: Server | undefined
  child.on('message', (_word, server) => (received = server as Server))
  await once(child, 'exit')
  if (received === undefined)
    throw new Error(
      'Cannot listen inside the lab: the listening process handed over no socket; see its message above',
    )
  return received
}

function join(a: Socket, b: Socket): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.on('error', () => to.destroy())
    from.on('close', () => to.destroy())
    from.setNoDelay(true)
    from.pipe(to)
  }
}
