/**
 * What `--profiling` offers below `/debug/`: the paths are those of kube-proxy, the contents are what tools for this
 * runtime read (heap snapshots and CPU profiles of V8, for Chrome's developer tools).
 */
import type { IncomingMessage } from 'node:http'
import { Session } from 'node:inspector/promises'
import type { Readable } from 'node:stream'
import { getHeapSnapshot } from 'node:v8'
import type { Clock } from '../runtime/clock.ts'
import { type HttpAnswer, NOT_FOUND, type StreamedAnswer } from '../runtime/http-listener.ts'

const DEFAULT_SECONDS = 30
const LONGEST_SECONDS = 300
const LONGEST_BODY = 16

export interface DebugOptions {
  readonly clock: Clock
  /** Changes the verbosity of logs while we run. */
  readonly setVerbosity: (level: number) => void
}

export async function debugAnswer(
  request: IncomingMessage,
  url: URL,
  options: DebugOptions,
): Promise<HttpAnswer | StreamedAnswer> {
  if (url.pathname === '/debug/pprof' || url.pathname === '/debug/pprof/') return plain(200, INDEX)
  if (url.pathname === '/debug/pprof/heap') return download('fairlead.heapsnapshot', getHeapSnapshot())
  if (url.pathname === '/debug/pprof/profile') return profile(url, options.clock)
  if (url.pathname === '/debug/flags/v') return setVerbosity(request, options)
  return NOT_FOUND
}

const INDEX = `/debug/pprof/heap            a heap snapshot (open it in the memory tab of Chrome's developer tools)
/debug/pprof/profile?seconds=30   a CPU profile (open it in the performance tab)
/debug/flags/v                    PUT a number to change the verbosity of logs
`

function plain(status: number, body: string): HttpAnswer {
  return {
    status,
    headers: { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' },
    body,
  }
}

function download<B extends string | Readable>(name: string, body: B) {
  const headers = {
    'Content-Type': 'application/json',
    'Content-Disposition': `attachment; filename="${name}"`,
  }
  return { status: 200, headers, body }
}

async function profile(url: URL, clock: Clock): Promise<HttpAnswer> {
  const seconds = Number(url.searchParams.get('seconds') ?? DEFAULT_SECONDS)
  if (!(seconds > 0 && seconds <= LONGEST_SECONDS))
    return plain(400, `Cannot profile for that long: write seconds=N with N from 1 to ${LONGEST_SECONDS}\n`)
  const session = new Session()
  session.connect()
  try {
    await session.post('Profiler.enable')
    await session.post('Profiler.start')
    await clock.sleep(seconds * 1000)
    const { profile: result } = await session.post('Profiler.stop')
    return download('fairlead.cpuprofile', JSON.stringify(result))
  } finally {
    session.disconnect()
  }
}

async function setVerbosity(request: IncomingMessage, options: DebugOptions): Promise<HttpAnswer> {
  if (request.method !== 'PUT') return plain(406, 'unrecognized http method\n')
  let body = ''
  for await (const chunk of request) {
    body += String(chunk)
    if (body.length > LONGEST_BODY) break
  }
  if (!/^\d{1,9}$/.test(body.trim()))
    return plain(400, 'Cannot set the verbosity: not a number; send a number such as 4\n')
  const level = Number(body)
  options.setVerbosity(level)
  return plain(200, `successfully set klog.logging.verbosity to ${level}`)
}
