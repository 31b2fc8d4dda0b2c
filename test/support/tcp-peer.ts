/**
 * A TCP server or client that lives as long as its standard input is open, to be run inside a namespace:
 *
 *     tcp-peer.ts serve <name> <port>...      answers `<name> <port of the server> <address of the client>` to every line
 *     tcp-peer.ts connect <ip> <port> [from]  sends lines of standard input, prints what comes; `from`: its own port
 *
 * The client prints `open`, the answers, and at the end `closed` or the code of the error.
 */
import { connect, createServer } from 'node:net'

const [, , mode, first = '', ...rest] = process.argv

if (mode === 'serve')
  for (const port of rest.map(Number))
    createServer((socket) => {
      socket.on('error', () => undefined)
      socket.on('data', (data) => {
        const lines = data.toString().split('\n').length - 1
        socket.write(
          `${first} ${port} ${String(socket.remoteAddress).replace('::ffff:', '')}\n`.repeat(lines),
        )
      })
    }).listen(port, '::', () => process.stdout.write('ready\n'))
else {
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
