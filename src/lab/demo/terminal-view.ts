/**
 * What the demo shows while its clients connect: redrawn in place on a terminal, a plain line now and then elsewhere.
 */
import { CLIENT_NAMES } from './demo-result.ts'
import { CLIENT_KINDS, type Phase, type Tally } from './tally.ts'

const BAR_WIDTH = 40
const REDRAW_MS = 200
const LINE_MS = 2000

const PHASE_TEXT: Readonly<Record<Phase, string>> = {
  calm: 'all pods at rest',
  'rolling-restart': 'pods are replaced one after another',
  kill: 'one pod was killed without warning',
  'scale-to-zero': 'the Deployment is scaled to zero',
  'scale-back': 'the Deployment is scaled back',
}

export interface TerminalViewOptions {
  readonly write: (text: string) => void
  readonly isTerminal: boolean
  readonly now: () => number
}

export class TerminalView {
  readonly #options: TerminalViewOptions
  #drawnLines = 0
  #lastMs = 0

  constructor(options: TerminalViewOptions) {
    this.#options = options
  }

  say(text: string): void {
    this.#drawnLines = 0
    this.#options.write(`${text}\n`)
  }

  /** Called with every report of a client; draws when it is time. */
  show(tally: Tally): void {
    const { now, isTerminal } = this.#options
    const nowMs = now()
    if (nowMs - this.#lastMs < (isTerminal ? REDRAW_MS : LINE_MS)) return
    this.#lastMs = nowMs
    if (isTerminal) this.#redraw(tally, nowMs)
    else this.#options.write(`  ${plainLine(tally, nowMs)}\n`)
  }

  #redraw(tally: Tally, nowMs: number): void {
    const lines = [
      `  ${PHASE_TEXT[tally.phaseAt(nowMs)]}`,
      ...clientLines(tally),
      ...bars(tally, nowMs),
      propagationLine(tally),
    ]
    const up = this.#drawnLines > 0 ? `\x1b[${this.#drawnLines}A\x1b[J` : ''
    this.#options.write(`${up}${lines.join('\n')}\n`)
    this.#drawnLines = lines.length
  }
}

/** Bars of the pods that answered in the last second. */
export function bars(tally: Tally, nowMs: number): string[] {
  const counts = new Map<string, number>()
  for (const { fromMs, byPod } of tally.slots)
    if (fromMs >= nowMs - 1250)
      for (const [pod, count] of byPod) counts.set(pod, (counts.get(pod) ?? 0) + count)
  return barLines([...counts].sort(([a], [b]) => a.localeCompare(b)))
}

/** `web-1  ██████████  123` for each entry, scaled to the largest. */
export function barLines(counts: readonly (readonly [string, number])[]): string[] {
  const most = Math.max(1, ...counts.map(([, count]) => count))
  const width = Math.max(0, ...counts.map(([name]) => name.length))
  return counts.map(([name, count]) => {
    const bar = '█'.repeat(Math.max(1, Math.round((count / most) * BAR_WIDTH)))
    return `  ${name.padEnd(width)}  ${bar} ${count}`
  })
}

function clientLines(tally: Tally): string[] {
  const totals = tally.totals()
  return CLIENT_KINDS.map((kind) => {
    const { total, failed } = totals[kind]
    return `  ${CLIENT_NAMES[kind].padEnd(20)} ${String(total).padStart(6)} connections, ${failed} failed`
  })
}

function propagationLine(tally: Tally): string {
  const last = tally.arrivals.findLast(({ reachedMs }) => reachedMs !== undefined)
  if (last?.reachedMs === undefined) return '  no endpoint has changed yet'
  return `  last new endpoint: ${last.pod}, first connection ${last.reachedMs - last.announcedMs} ms after the API named it`
}

function plainLine(tally: Tally, nowMs: number): string {
  const totals = Object.values(tally.totals())
  const sum = (key: 'total' | 'failed'): number => totals.reduce((all, client) => all + client[key], 0)
  const lastSecond = tally.slots.filter(({ fromMs }) => fromMs >= nowMs - 1250)
  const pods = new Set(lastSecond.flatMap(({ byPod }) => [...byPod.keys()]))
  return `${PHASE_TEXT[tally.phaseAt(nowMs)]}: ${sum('total')} connections so far, ${sum('failed')} failed, ${pods.size} pods answering`
}
