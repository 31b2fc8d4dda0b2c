import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import type { LoadReport } from '../../../src/lab/load-client.ts'

const CLIENT = resolve(import.meta.dirname, '../../../src/lab/load-client.ts')

test('a page that a server does not find is no answer of a pod', async () => {
  let asked = 0
  const server = createServer((_request, response) => {
    const isFound = asked++ % 2 === 0
    response.writeHead(isFound ? 200 : 404).end(isFound ? 'web-1\n' : 'Not Found\n')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const args = [
    '--disable-warning=ExperimentalWarning',
    CLIENT,
    '127.0.0.1',
    String(port),
    '20',
    '2000',
    '60',
  ]
  const client = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  try {
    let said = ''
    client.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
    while (asked < 6) await once(server, 'request')
    client.stdin.end()
    await once(client, 'close')
    const reports = said
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as LoadReport)
    expect(new Set(reports.flatMap(({ answered }) => Object.keys(answered)))).toEqual(new Set(['web-1']))
    expect(new Set(reports.flatMap(({ failed }) => failed.map(({ why }) => why)))).toEqual(
      new Set(['HTTP 404']),
    )
  } finally {
    client.kill()
    server.close()
  }
})
