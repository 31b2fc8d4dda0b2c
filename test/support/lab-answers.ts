/** Who asks whom in a lab: tells the address that a server sees, and so whether it was translated on the way. */
import { once } from 'node:events'
import type { NetHost } from '../../src/lab/net-host.ts'

const PORT = 9000

/** Answers every connection with the address that it came from. */
const TELL_SOURCE = `
require('node:net').createServer((socket) => socket.end(socket.remoteAddress + '\\n'))
  .listen(${PORT}, '0.0.0.0', () => console.log('ready'))
`

/** Starts the server; it ends with the host. */
export async function serveSource(host: NetHost): Promise<void> {
  const child = host.spawn([process.execPath, '-e', TELL_SOURCE], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit').then(() => {
    throw new Error(`Cannot serve in ${host.name}: the server ended`)
  })
  await Promise.race([once(child.stdout!, 'data'), ended])
  ended.catch(() => undefined)
}

/** The address as which `from` appears at `ip`, or what `curl` says (`exit 28`: no answer). */
export async function sourceSeenAt(ip: string, from: NetHost): Promise<string> {
  const args = ['-s', '-m', '3', `telnet://${ip}:${PORT}`]
  const { exitCode, stdout } = await from.exec.run({ file: 'curl', args })
  return exitCode === 0 ? stdout.trim() : `exit ${exitCode}`
}
