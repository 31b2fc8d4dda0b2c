/**
 * TCP servers and clients inside a namespace, any number of them, as one process; it lives as long as its standard input is
 * open. One JSON command per line, `{ id, op, … }`; whatever a peer has to say comes as `{ id, text }`.
 *
 *     serve    answers `<name> <port of the server> <address of the client>` to every line, says `ready` for each
 *              port, `lost <code>` of clients, and sends what it is told to every client
 *     connect  says `open`, then what comes, at last the code of an error; sends what it is told; `from`: its own port
 *     tell     gives the peer a text; a client that is told `reset\n` resets its connection
 *     close    ends the peer, and says `null` for its end
 */
import { type Server, type Socket, connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'

export type PeerCommand =
  | { readonly id: number; readonly op: 'serve'; readonly name: string; readonly ports: readonly number[] }
  | {
      readonly id: number
      readonly op: 'connect'
      readonly ip: string
      readonly port: number
      readonly from?: number | undefined
    }
  | { readonly id: number; readonly op: 'tell'; readonly text: string }
  | { readonly id: number; readonly op: 'close' }

export interface PeerSaying {
  readonly id: number
  readonly text: string | null
}

interface Living {
  tell(text: string): void
  end(): void
}

const peers = new Map<number, Living>()

function say(id: number, text: string | null): void {
  process.stdout.write(`${JSON.stringify({ id, text } satisfies PeerSaying)}\n`)
}

function serve(id: number, name: string, ports: readonly number[]): Living {
  const clients = new Set<Socket>()
  const servers = ports.map((port) => {
    const server: Server = createServer((socket) => {
      clients.add(socket)
      socket.on('close', () => clients.delete(socket))
      socket.on('error', ({ code }: NodeJS.ErrnoException) => say(id, `lost ${code ?? '?'}\n`))
      socket.on('data', (data) => {
        const lines = data.toString().split('\n').length - 1
        const answer = `${name} ${port} ${String(socket.remoteAddress).replace('::ffff:', '')}\n`
        socket.write(answer.repeat(lines))
      })
    })
    return server.listen(port, '::', () => say(id, 'ready\n'))
  })
  return {
    tell: (text) => clients.forEach((socket) => socket.write(text)),
    end: () => {
      for (const server of servers) server.close()
      for (const socket of clients) socket.destroy()
    },
  }
}

function dial(id: number, host: string, port: number, from: number | undefined): Living {
  const socket = connect({ host, port, ...(from === undefined ? {} : { localPort: from }) })
  socket.on('connect', () => say(id, 'open\n'))
  socket.on('data', (data) => say(id, data.toString()))
  socket.on('error', ({ code }: NodeJS.ErrnoException) => say(id, `${code ?? '?'}\n`))
  return {
    tell: (text) => {
      if (text === 'reset\n') socket.resetAndDestroy()
      else socket.write(text)
    },
    end: () => socket.destroy(),
  }
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line) as PeerCommand
    const { id } = command
    if (command.op === 'serve') peers.set(id, serve(id, command.name, command.ports))
    else if (command.op === 'connect') peers.set(id, dial(id, command.ip, command.port, command.from))
    else if (command.op === 'tell') peers.get(id)?.tell(command.text)
    else {
      peers.get(id)?.end()
      peers.delete(id)
      say(id, null)
    }
  })
  .on('close', () => process.exit())
