/** The questions that `explain`, `dump` and `diff` ask, and their answers as JSON data. */
import { DUMPS, dumpRows, type Row } from '../explain/dump.ts'
import { explain, type Question, type Sender } from '../explain/explain.ts'
import type { Explanation } from '../explain/explanation.ts'
import type { ProxyView } from '../explain/proxy-view.ts'
import { differenceRows } from '../explain/state-difference.ts'
import { parseSubject, SUBJECT_USAGE } from '../explain/subject.ts'
import { slicedDiff } from '../netfilter/kernel-state.ts'
import { parseIp, type Ip } from '../net/ip.ts'
import { PROTOCOLS } from '../net/protocol.ts'
import { inSlices } from '../runtime/in-slices.ts'
import { planInSlices } from '../sync/plan-in-slices.ts'
import type { AnswerSource } from './answer-source.ts'
import { countConnections } from './explain-connections.ts'
import { lookAtKernel } from './explain-kernel.ts'

export interface AnswerContext {
  readonly source: AnswerSource
  readonly signal: AbortSignal
}

/** Answer to `dump` and `diff`. */
export interface RowsAnswer {
  readonly rows: readonly Row[]
  /** Why they may be out of date or incomplete. */
  readonly remarks: readonly string[]
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
      return differences(context)
    case 'explain':
      return explainAnswer(url.searchParams, context)
    default:
      return undefined
  }
}

function dumpAnswer(what: string, { source }: AnswerContext): RowsAnswer {
  const name = DUMPS.find((known) => known === what)
  if (name === undefined) throw new BadQuestion(`Cannot dump "${what}": write one of ${DUMPS.join(', ')}`)
  const view = source.view()
  return { rows: dumpRows(name, view), remarks: view.remarks }
}

/** Desired against kernel, by a backend of its own that writes nothing. */
async function differences({ source, signal }: AnswerContext): Promise<RowsAnswer> {
  const snapshot = source.snapshot()
  if (snapshot === undefined)
    throw new BadQuestion('Cannot compare: the API server has not yet told everything; try again')
  const rows: Row[] = []
  for (const { family, decide, inspector: open } of source.families) {
    const inspector = await open()
    const want = await planInSlices(inspector, decide(snapshot), undefined)
    rows.push(...differenceRows(family, await inSlices(slicedDiff(want, await inspector.observe(signal)))))
  }
  return { rows, remarks: source.view().remarks }
}

async function explainAnswer(query: URLSearchParams, context: AnswerContext): Promise<Explanation> {
  const { source, signal } = context
  const view = source.view()
  const explanation = explain(view, await questionOf(query, view, context))
  const looked = await lookAtKernel(explanation.ports, { source, view, signal })
  return { ...explanation, ports: await countConnections(looked, { view, exec: source.exec, signal }) }
}

async function questionOf(
  query: URLSearchParams,
  view: ProxyView,
  context: AnswerContext,
): Promise<Question> {
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
  const sender = ip === undefined ? undefined : await senderOf(ip, view, context)
  return { text, subject, protocol, sender }
}

/** The interface is that by which an answer to the sender would leave. */
async function senderOf(ip: Ip, view: ProxyView, { source, signal }: AnswerContext): Promise<Sender> {
  if (view.families.every(({ detector }) => detector === undefined || detector.by === 'source'))
    return { ip, inInterface: undefined }
  const result = await source.exec
    .run({ file: 'ip', args: ['-o', 'route', 'get', ip], signal })
    .catch(() => undefined)
  return { ip, inInterface: / dev (\S+)/.exec(result?.stdout ?? '')?.[1] }
}
