/** `POST /lab/faults` with `{"fault": …}`: the faults for programs in other processes. */
import { type Clock } from '../../runtime/clock.ts'
import { type Faults, type WatchBreakage } from './faults.ts'
import { type Json, type JsonObject } from './json.ts'
import { badRequest } from './status-errors.ts'

const BREAKAGES: readonly WatchBreakage[] = ['garbage', 'truncated', 'expired', 'end']

type Command = (faults: Faults, body: JsonObject) => void

const COMMANDS: Readonly<Record<string, Command>> = {
  'drop-connections': (faults) => {
    faults.dropConnections()
  },
  'refuse-connections': (faults) => {
    faults.refuseConnections()
  },
  delay: (faults, body) => {
    faults.delay(number(body, 'ms') ?? 0)
  },
  silent: (faults) => {
    faults.goSilent()
  },
  compact: (faults) => {
    faults.compact()
  },
  fail: (faults, body) => {
    faults.fail(ruleOf(body))
  },
  'break-watches': (faults, body) => {
    const how = BREAKAGES.find((known) => known === body['how'])
    if (how === undefined) throw badRequest(`"how" must be one of: ${BREAKAGES.join(', ')}`)
    faults.breakWatches(how, text(body, 'resource'))
  },
  'pause-watch': (faults, body) => {
    faults.pauseWatch(text(body, 'resource') ?? '')
  },
  'resume-watch': (faults, body) => {
    faults.resumeWatch(text(body, 'resource') ?? '')
  },
}

/**
 * Carries out one command. `clear` ends all; a lasting fault with `forMs` ends by itself, which is the only way back
 * for another process after `refuse-connections`.
 */
export async function carryOutFault(faults: Faults, body: JsonObject, clock: Clock): Promise<void> {
  const name = body['fault']
  if (name === 'clear') {
    await faults.clear()
    return
  }
  const command = typeof name === 'string' ? COMMANDS[name] : undefined
  if (command === undefined)
    throw badRequest(`"fault" must be one of: ${[...Object.keys(COMMANDS), 'clear'].join(', ')}`)
  command(faults, body)
  const forMs = number(body, 'forMs')
  if (forMs !== undefined) void clock.sleep(forMs).then(() => faults.clear())
}

function ruleOf(body: JsonObject): Parameters<Faults['fail']>[0] {
  const status = number(body, 'status')
  if (status === undefined)
    throw badRequest('"status" is missing: which status code are requests to fail with?')
  const optional = {
    count: number(body, 'count'),
    retryAfterSeconds: number(body, 'retryAfterSeconds'),
    verb: text(body, 'verb'),
    resource: text(body, 'resource'),
  }
  const given = Object.entries(optional).filter(([, value]) => value !== undefined)
  return { status, ...Object.fromEntries(given) }
}

function number(body: JsonObject, field: string): number | undefined {
  return ofType(body[field], field, 'number') as number | undefined
}

function text(body: JsonObject, field: string): string | undefined {
  return ofType(body[field], field, 'string') as string | undefined
}

function ofType(value: Json | undefined, field: string, type: 'number' | 'string'): Json | undefined {
  if (value === undefined || typeof value === type) return value
  throw badRequest(`"${field}" must be a ${type}`)
}
