/**
 * Listens, dials, makes the kernel forget the connection, and sends a reply on it: says whether it
 * "arrived", was "lost", or how it was answered.
 * Arguments: address and port to listen at, address and port to dial.
 */
export const LATE_REPLY = `
const net = require('node:net')
const { spawnSync } = require('node:child_process')
const [ip, port, dialIp, dialPort] = process.argv.slice(1)
const end = (word) => { process.stdout.write(word); process.exit(0) }
const server = net.createServer((socket) => {
  spawnSync('conntrack', ['-F'])
  // Whoever gets a reply that he did not ask for resets the connection.
  socket.on('error', ({ code }) => end(code))
  socket.write('late')
})
server.listen(Number(port), ip, () => {
  const client = net.connect(Number(dialPort), dialIp)
  client.on('data', () => end('arrived'))
  client.on('error', ({ code }) => end(code))
  setTimeout(() => end('lost'), 500)
})
`
