/**
 * The unix socket on which the running proxy answers `explain`, `dump` and `diff`: HTTP with JSON bodies. Only root may
 * open it, because the answers name everything in the cluster; it changes nothing.
 */
import { chmod, mkdir, rm } from 'node:fs/promises'
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import type { Clock } from '../runtime/clock.ts'
import { close } from '../runtime/http-listener.ts'
import type { Logger } from '../runtime/logger.ts'
import { type AnswerContext, answerTo, BadQuestion } from './explain-answers.ts'

const RETRY_MS = 5000

export interface ExplainSocketOptions {
  readonly path: string
  readonly handler: RequestListener
  readonly clock: Clock
  readonly log: Logger
}

/** Serves until the signal is aborted; never rejects: a proxy that cannot be asked still proxies. */
export async function serveExplainSocket(options: ExplainSocketOptions, signal: AbortSignal): Promise<void> {
  const { path, clock, log } = options
  for (let told = ''; !signal.aborted;) {
    try {
      const server = await listenOn(options)
      log.debug({ socket: path }, 'Listening for explain, dump and diff')
      await untilAborted(server, signal)
      await close(server)
      return
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (reason !== told) log.warn({ socket: path, reason }, 'explain, dump and diff cannot be answered')
      told = reason
      await clock.sleep(RETRY_MS, signal).catch(() => undefined)
    }
  }
}

export function explainHandler(context: AnswerContext): RequestListener {
  return (request, response) => {
    const url = URL.parse(request.url ?? '/', 'http://node')
    const answering = url === null ? Promise.resolve(undefined) : answerTo(url, context)
    answering.then(
      (answer) => {
        if (answer === undefined) sendJson(response, 404, { error: `Nobody asks for ${request.url ?? ''}` })
        else sendJson(response, 200, answer)
      },
      (error: unknown) => {
        const message = error instanceof Error ? error.message : String(error)
        sendJson(response, error instanceof BadQuestion ? 400 : 500, { error: message })
      },
    )
  }
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
  })
  response.end(text)
}

async function listenOn({ path, handler }: ExplainSocketOptions): Promise<Server> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  if (await isAnswered(path)) throw new Error(`another Fairlead already answers on ${path}`)
  await rm(path, { force: true })
  const server = createServer(handler)
  const listening = new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', resolve)
  })
  // Nobody may connect between the making of the socket, which happens in this very call, and the setting of its rights.
  const before = process.umask(0o177)
  server.listen(path)
  process.umask(before)
  await listening
  await chmod(path, 0o600)
  return server
}

/** A socket file that was left by a process that is gone refuses connections. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function untilAborted(server: Server, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
