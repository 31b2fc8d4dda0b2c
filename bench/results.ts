/** What a whole bench run found: plain data, written as JSON as it is. */
import type { ChangeFigures, RestFigures, StartFigures } from './control-plane.ts'
import type { DataFigures } from './data-plane.ts'
import type { PlainFigures } from './floor.ts'
import type { Machine } from './machine.ts'
import type { Mode } from './subjects.ts'
import type { SustainedFigures } from './sustained.ts'
import type { TroubleFigures } from './trouble.ts'

/** `layout`: kube-proxy's rules loaded by the plain tool, without any proxy. */
export type SubjectKind = 'fairlead' | 'peer' | 'layout'

/** One subject in one scenario. What could not be measured is absent; `failure` says why. */
export interface Result {
  readonly scenario: string
  readonly services: number
  readonly endpoints: number
  readonly subject: string
  readonly kind: SubjectKind
  readonly mode: Mode
  readonly start?: StartFigures
  readonly data?: DataFigures
  readonly sustained?: SustainedFigures
  readonly change?: ChangeFigures
  readonly rest?: RestFigures
  /** For Fairlead: the same objects by the plain tool. For a layout: the layout itself. */
  readonly plain?: PlainFigures
  readonly trouble?: TroubleFigures
  readonly failure?: string
  /** Load average of the machine when it began. */
  readonly loadAverage: number
}

export interface Report {
  readonly machine: Machine
  readonly startedAt: string
  readonly tookSeconds: number
  readonly quick: boolean
  readonly peers: readonly string[]
  readonly results: readonly Result[]
  /** What was left out, and why. */
  readonly notes: readonly string[]
}
