/**
 * A client of the lab, run by Node inside a namespace: makes one new connection after the other, at a fixed pace, and
 * reports what became of each as JSON lines. It ends when its standard input closes, or after its time.
 *
 * `node load-client.js TARGET_IP TARGET_PORT PACE_MS TIMEOUT_MS SECONDS`
 */
import { type IncomingMessage, request } from 'node:http'

/** One line of output: everything since the line before. */
export interface LoadReport {
  /** Milliseconds since the epoch, at the end of the interval. */
  readonly atMs: number
  /** Answered connections by the text that came back (the pod's name), with the time of the first of them. */
  readonly answered: Readonly<Record<string, { readonly count: number; readonly firstMs: number }>>
  /** `atMs`: when the connection was begun. */
  readonly failed: readonly { readonly atMs: number; readonly why: string }[]
  /** Time of each answered connection, milliseconds, from the start of the connection to the whole answer. */
  readonly tookMs: readonly number[]
}

/** Not more often than it connects: on a slow kernel, reporting would be most of its work. */
const REPORT_EVERY_MS = 50

interface Interval {
  answered: Record<string, { count: number; firstMs: number }>
  failed: { atMs: number; why: string }[]
  tookMs: number[]
}

function emptyInterval(): Interval {
  return { answered: {}, failed: [], tookMs: [] }
}

interface Outcomes {
  readonly failed: (why: string) => void
  /** With what the server said: the name of its pod. */
  readonly ended: (text: string) => void
}

function follow(response: IncomingMessage, { failed, ended }: Outcomes): void {
  if (response.statusCode !== 200) {
    response.resume()
    failed(`HTTP ${response.statusCode ?? 0}`)
    return
  }
  let text = ''
  response.setEncoding('utf8')
  response.on('data', (chunk: string) => (text += chunk))
  response.on('error', (error: NodeJS.ErrnoException) => failed(error.code ?? error.message))
  response.on('end', () => ended(text.trim()))
}

function main(args: readonly string[]): void {
  const [host = '', port = '', pace = '', timeout = '', seconds = ''] = args
  const timeoutMs = Number(timeout)
  let interval = emptyInterval()

  const connect = (): void => {
    const startedMs = performance.now()
    const atMs = Date.now()
    const fail = (why: string): void => void interval.failed.push({ atMs, why })
    let settled = false
    const settle = (outcome: () => void): void => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      outcome()
    }
    const attempt = request(
      { host, port: Number(port), agent: false, headers: { connection: 'close' } },
      (response) =>
        follow(response, {
          failed: (why) => settle(() => fail(why)),
          ended: (text) =>
            settle(() => {
              const entry = (interval.answered[text] ??= { count: 0, firstMs: Date.now() })
              entry.count++
              interval.tookMs.push(Math.round((performance.now() - startedMs) * 100) / 100)
            }),
        }),
    )
    const timer = setTimeout(() => {
      settle(() => fail('timeout'))
      attempt.destroy()
    }, timeoutMs)
    attempt.on('error', (error: NodeJS.ErrnoException) => settle(() => fail(error.code ?? error.message)))
    attempt.end()
  }

  const report = (): void => {
    const line: LoadReport = { atMs: Date.now(), ...interval }
    interval = emptyInterval()
    process.stdout.write(`${JSON.stringify(line)}\n`)
  }
  const pacing = setInterval(connect, Number(pace))
  const reporting = setInterval(report, Math.max(REPORT_EVERY_MS, Number(pace)))
  const finish = (): void => {
    clearInterval(pacing)
    setTimeout(() => {
      clearInterval(reporting)
      report()
      process.exit(0)
    }, timeoutMs)
  }
  process.stdin.on('end', finish).resume()
  setTimeout(finish, Number(seconds) * 1000)
}

main(process.argv.slice(2))
