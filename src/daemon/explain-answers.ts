/** The questions that `explain`, `dump` and `diff` send to the running proxy, and their answers as JSON data. */
import type { OpenConnections, ExplainedObject, ExplainedPort, Explanation } from '../explain/explanation.ts'
import { DUMPS, dumpRows, type Row } from '../explain/dump.ts'
import { explain, type Question, type Sender } from '../explain/explain.ts'
import { differenceRows } from '../explain/state-difference.ts'
import { parseSubject, SUBJECT_USAGE } from '../explain/subject.ts'
import type { Frontend } from '../forwarding/forwarding.ts'
import { Conntrack } from '../kernel/conntrack.ts'
import type { Exec } from '../kernel/exec.ts'
import { diffState, type KernelObject, type KernelState } from '../netfilter/kernel-state.ts'
import type { Flow } from '../netfilter/conntrack/flow.ts'
import { hostPort, parseIp, type Ip } from '../net/ip.ts'
import { PROTOCOLS } from '../net/protocol.ts'
import type { Clock } from '../runtime/clock.ts'
import { planInSlices } from '../sync/plan-in-slices.ts'
import { proxyView } from './explain-view.ts'
import type { Proxy } from './proxy.ts'

export interface AnswerContext {
  readonly proxy: Proxy
  readonly exec: Exec
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** The question itself cannot be answered; the message is for whoever asked. */
export class BadQuestion extends Error {
  override readonly name = 'BadQuestion'
}

/** `undefined`: nobody asks at that path. Throws BadQuestion, or KernelError when the kernel cannot be read. */
export async function answerTo(url: URL, context: AnswerContext): Promise<object | undefined> {
  const [, verb = '', what = ''] = url.pathname.split('/')
  switch (verb) {
    case 'dump':
      return dumpAnswer(what, context)
    case 'diff':
      return { rows: await differences(context) }
    case 'explain':
      return explainAnswer(url.searchParams, context)
    default:
      return undefined
  }
}

function dumpAnswer(what: string, { proxy, clock }: AnswerContext): object {
  const name = DUMPS.find((known) => known === what)
  if (name === undefined) throw new BadQuestion(`Cannot dump "${what}": write one of ${DUMPS.join(', ')}`)
  return { rows: dumpRows(name, proxyView(proxy, clock.now())) }
}

/** Desired against kernel, by a backend of its own that writes nothing. */
async function differences({ proxy, clock, signal }: AnswerContext): Promise<readonly Row[]> {
  const snapshot = proxy.feed.snapshot()
  if (snapshot === undefined)
    throw new BadQuestion('Cannot compare: the API server has not yet told everything; try again')
  const rows: Row[] = []
  for (const own of proxy.families) {
    const { family, decider, pipeline } = own
    const decided = decider.decide(snapshot, clock.monotonic())
    const refused = [...pipeline.refused.values()].map(({ port }) => [port.key, undefined] as const)
    const wanted = { ...decided, ports: decided.ports.with(refused) }
    const inspector = await own.inspector()
    const want = await planInSlices(inspector, wanted, undefined)
    rows.push(...differenceRows(family, diffState(want, await inspector.observe(signal))))
  }
  return rows
}

async function explainAnswer(query: URLSearchParams, context: AnswerContext): Promise<Explanation> {
  const { proxy, clock } = context
  const explanation = explain(proxyView(proxy, clock.now()), await questionOf(query, context))
  const ports: ExplainedPort[] = []
  for (const port of explanation.ports) {
    const kernelObjects = await checkedObjects(port, context)
    ports.push({ ...port, kernelObjects, connections: await connectionsOf(port, context) })
  }
  return { ...explanation, ports }
}

async function questionOf(query: URLSearchParams, context: AnswerContext): Promise<Question> {
  const text = query.get('subject') ?? ''
  const subject = parseSubject(text)
  if (subject === undefined) throw new BadQuestion(`Cannot explain "${text}": ${SUBJECT_USAGE}`)
  const wanted = query.get('protocol')
  const protocol = PROTOCOLS.find((known) => known === wanted?.toUpperCase())
  if (wanted !== null && protocol === undefined)
    throw new BadQuestion(`Cannot explain protocol "${wanted}": write one of ${PROTOCOLS.join(', ')}`)
  const from = query.get('from')
  const ip = from === null ? undefined : parseIp(from)
  if (from !== null && ip === undefined)
    throw new BadQuestion(`Cannot explain a connection from "${from}": not an IP address`)
  return { text, subject, protocol, sender: ip === undefined ? undefined : await senderOf(ip, context) }
}

/** The interface is that by which an answer to the sender would leave. */
async function senderOf(ip: Ip, { exec, signal, proxy }: AnswerContext): Promise<Sender> {
  if (proxy.families.every(({ detector }) => detector === undefined || detector.by === 'source'))
    return { ip, inInterface: undefined }
  const result = await exec
    .run({ file: 'ip', args: ['-o', 'route', 'get', ip], signal })
    .catch(() => undefined)
  return { ip, inInterface: / dev (\S+)/.exec(result?.stdout ?? '')?.[1] }
}

/** Each object as the kernel has it; left as it is where the kernel cannot be read. */
async function checkedObjects(
  { family, kernelObjects }: ExplainedPort,
  { proxy, signal }: AnswerContext,
): Promise<readonly ExplainedObject[]> {
  const own = proxy.families.find((one) => one.family === family)
  if (own === undefined || kernelObjects.length === 0) return kernelObjects
  try {
    const inspector = await own.inspector()
    const present = objectsByKey(await inspector.observe(signal))
    const planned = objectsByKey(own.pipeline.believed)
    return kernelObjects.map((object) => {
      const found = present.get(object.key)
      const same = found?.text === planned.get(object.key)?.text
      return { ...object, inKernel: found === undefined ? 'missing' : same ? 'as planned' : 'differs' }
    })
  } catch {
    return kernelObjects
  }
}

function objectsByKey(state: KernelState<KernelObject> | undefined): ReadonlyMap<string, KernelObject> {
  return new Map([...(state?.values() ?? [])].flatMap((fragment) => [...fragment]))
}

/** `undefined` where connection tracking cannot be asked. */
async function connectionsOf(
  port: ExplainedPort,
  { proxy, exec, signal }: AnswerContext,
): Promise<OpenConnections | undefined> {
  const { family, protocol, servicePort } = port
  const forwarding = proxy.families.find((one) => one.family === family)?.pipeline.forwarding
  const frontends = forwarding?.ports.get(servicePort)?.frontends ?? []
  const isLocal = (ip: Ip): boolean => forwarding?.node.localIps.includes(ip) === true
  const table = new Conntrack(exec)
  try {
    const flows: Flow[] = []
    for (const { ip, port: first, lastPort } of frontends) {
      const query = { family, protocol, ip, port: lastPort === undefined ? first : undefined }
      const found = await table.list(query, signal)
      flows.push(...found.filter((flow) => isAimedAt(flow, { ip, port: first, lastPort }, isLocal)))
    }
    return counted(flows)
  } catch {
    return undefined
  }
}

function isAimedAt(
  { destination, destinationPort }: Flow,
  { ip, port, lastPort }: Pick<Frontend, 'ip' | 'port' | 'lastPort'>,
  isLocal: (ip: Ip) => boolean,
): boolean {
  if (destinationPort < port || destinationPort > (lastPort ?? port)) return false
  return ip === undefined ? isLocal(destination) : destination === ip
}

function counted(flows: readonly Flow[]): OpenConnections {
  const byEndpoint: Record<string, number> = {}
  for (const { replySource, replySourcePort } of flows) {
    const endpoint = hostPort(replySource, replySourcePort)
    byEndpoint[endpoint] = (byEndpoint[endpoint] ?? 0) + 1
  }
  return { total: flows.length, unanswered: flows.filter(({ unreplied }) => unreplied).length, byEndpoint }
}
