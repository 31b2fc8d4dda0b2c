/** What the API server says to the proxy's account: whether it answers, what it allows, and what time it has there. */
import type { Config } from '../../config/config.ts'
import type { ApiFacts } from '../../explain/doctor/node-facts.ts'
import type { Clock } from '../../runtime/clock.ts'
import { silentLogger } from '../../runtime/logger.ts'
import { openCredentials } from '../../watch/credentials.ts'
import { type Permission, requiredPermissions } from '../../watch/resources.ts'
import { type Answer, Transport } from '../../watch/transport.ts'

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
const LIMITS = { connectMs: 5_000, answerMs: 10_000, silenceMs: 10_000 }

export interface AskApiOptions {
  readonly config: Config
  readonly clock: Clock
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

/** Throws ConfigError for a kubeconfig that cannot be used. */
export async function askApi(options: AskApiOptions): Promise<ApiFacts> {
  const { config, clock, env, signal } = options
  const { kubeconfig, apiServers: servers } = config.clientConnection
  const credentials = openCredentials({ kubeconfig, servers, clock, logger: silentLogger, env })
  const transport = new Transport({ credentials, clock, observer: undefined })
  const send = async (method: 'GET' | 'POST', path: string, body?: string): Promise<Answer> => {
    const headers = { accept: 'application/json', 'content-type': 'application/json' }
    const attempt = { verb: method === 'GET' ? ('get' as const) : ('create' as const), resource: path }
    const sent = { attempt, method, path, headers, limits: LIMITS, signal }
    return transport.send(body === undefined ? sent : { ...sent, body })
  }
  try {
    const version = await send('GET', '/version')
    const clockAheadMs = aheadOf(version, clock)
    await drained(version)
    if (version.status === 401)
      return { unreachable: 'the API server refuses our credentials (401)', clockAheadMs, forbidden: [] }
    return { unreachable: undefined, clockAheadMs, forbidden: await forbidden(send) }
  } catch (error) {
    if (signal.aborted) throw error
    return { unreachable: (error as Error).message, clockAheadMs: undefined, forbidden: [] }
  }
}

type Send = (method: 'GET' | 'POST', path: string, body?: string) => Promise<Answer>

/** The header has whole seconds, so half of one is the best guess for the rest. */
function aheadOf({ headers }: Answer, clock: Clock): number | undefined {
  const theirs = Date.parse(headers.date ?? '')
  return Number.isNaN(theirs) ? undefined : clock.now() - (theirs + 500)
}

async function forbidden(send: Send): Promise<readonly string[]> {
  const found: string[] = []
  for (const permission of requiredPermissions)
    for (const verb of permission.verbs)
      if (!(await isAllowed(send, permission, verb))) found.push(`${verb} ${permission.resource}`)
  return found
}

/** Asks for a review; a server that has none is asked for the thing itself, where that is only reading. */
async function isAllowed(send: Send, { group, resource }: Permission, verb: string): Promise<boolean> {
  const spec = { resourceAttributes: { group, resource, verb } }
  const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec }
  const answer = await send('POST', REVIEWS, JSON.stringify(review))
  const text = await drained(answer)
  if (answer.status === 201) {
    const { status } = JSON.parse(text) as { readonly status?: { readonly allowed?: boolean } }
    return status?.allowed === true
  }
  if (verb !== 'list') return true
  const list = await send('GET', `${group === '' ? '/api/v1' : `/apis/${group}/v1`}/${resource}?limit=1`)
  await drained(list)
  return list.status !== 403
}

async function drained(answer: Answer): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of answer.body()) parts.push(part)
  return Buffer.concat(parts).toString('utf8')
}
