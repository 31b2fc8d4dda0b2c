/** Who runs the lab of this machine. The file exists while a lab runs, or after it was killed. */
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { startTicks } from '../../lab/own-directory.ts'

const STATE_FILE = '/run/fairlead/lab.json'
/** What a lab in the background has to say. */
export const LOG_FILE = '/run/fairlead/lab.log'

export interface LabState {
  readonly pid: number
  /** Of the process: a later one with the same number is another one. */
  readonly startTicks: string
  /** `undefined` while the lab is starting. */
  readonly kubeconfig: string | undefined
  readonly about: string
}

/** The lab that runs; `undefined`: none. */
export function runningLab(): LabState | undefined {
  const state = readState()
  return state !== undefined && startTicks(state.pid) === state.startTicks ? state : undefined
}

/** Enters this process as the one that runs the lab. Returns the one that does already; `undefined`: it is we now. */
export function claimLab(about: string): LabState | undefined {
  const draft = writeDraft({ about, kubeconfig: undefined })
  try {
    while (!isLinked(draft)) {
      const running = runningLab()
      if (running !== undefined) return running
      forgetLab()
    }
    return undefined
  } finally {
    rmSync(draft, { force: true })
  }
}

/** Of two that start at once only one can make the link. */
function isLinked(draft: string): boolean {
  try {
    linkSync(draft, STATE_FILE)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Tells where our lab can be reached. */
export function announceLab(about: string, kubeconfig: string): void {
  renameSync(writeDraft({ about, kubeconfig }), STATE_FILE)
}

export function forgetLab(): void {
  rmSync(STATE_FILE, { force: true })
}

function writeDraft(given: Pick<LabState, 'about' | 'kubeconfig'>): string {
  mkdirSync(dirname(STATE_FILE), { recursive: true })
  const draft = `${STATE_FILE}.${process.pid}`
  const state: LabState = { pid: process.pid, startTicks: startTicks(process.pid) ?? '', ...given }
  writeFileSync(draft, JSON.stringify(state), { mode: 0o600 })
  return draft
}

function readState(): LabState | undefined {
  try {
    return JSON.parse(readFileSync(STATE_FILE, 'utf8')) as LabState
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
