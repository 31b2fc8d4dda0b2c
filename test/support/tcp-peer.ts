/**
 * A TCP server or client that lives as long as its standard input is open, to be run inside a namespace:
 *
 *     tcp-peer.ts serve <name> <port>...      answers `<name> <port of the server> <address of the client>` to every line,
 *                                             sends lines of standard input to every client, and prints `lost <code>`
 *     tcp-peer.ts connect <ip> <port> [from]  sends lines of standard input, prints what comes; `from`: its own port
 *
 * The client prints `open`, the answers, and at the end `closed` or the code of the error.
 */
import { connect, createServer, type Socket } from 'node:net'

const [, , mode, first = '', ...rest] = process.argv

const clients = new Set<Socket>()

if (mode === 'serve') {
  for (const port of rest.map(Number))
    createServer((socket) => {
      clients.add(socket)
      socket.on('close', () => clients.delete(socket))
      socket.on('error', ({ code }: NodeJS.ErrnoException) => process.stdout.write(`lost ${code ?? '?'}\n`))
      socket.on('data', (data) => {
        const lines = data.toString().split('\n').length - 1
        socket.write(
          `${first} ${port} ${String(socket.remoteAddress).replace('::ffff:', '')}\n`.repeat(lines),
        )
      })
    }).listen(port, '::', () => process.stdout.write('ready\n'))
  process.stdin.on('data', (data) => {
    for (const socket of clients) socket.write(data)
  })
} else {
  const [port, from] = rest.map(Number)
  const socket = connect({ host: first, port: port ?? 0, ...(from === undefined ? {} : { localPort: from }) })
  socket.on('connect', () => process.stdout.write('open\n'))
  socket.on('data', (data) => process.stdout.write(data))
  socket.on('error', (error: NodeJS.ErrnoException) => process.stdout.write(`${error.code ?? '?'}\n`))
  socket.on('close', () => process.exit())
  process.stdin.on('data', (data) => {
    if (data.toString() === 'reset\n') socket.resetAndDestroy()
    else socket.write(data)
  })
}
process.stdin.on('end', () => process.exit()).resume()
