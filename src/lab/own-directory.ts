/**
 * Directories for temporary files that belong to one process. Their name says which, so that a later process can tell
 * those of a process that was killed and remove them.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** `fairlead-lab-4711-123456-Ab3xYz`: kind, process, ticks since boot at its start, and what makes it unique. */
const NAME = /^fairlead-(?:lab|uml)-(\d+)-(\d+)-\w{6}$/

export class OwnDirectory {
  readonly path: string
  readonly #atExit = (): void => rmSync(this.path, { recursive: true, force: true })

  /** Below the system's directory for temporary files; removed at the latest when this process exits. */
  constructor(kind: 'lab' | 'uml') {
    const owner = `${process.pid}-${startTicks(process.pid) ?? '0'}`
    this.path = mkdtempSync(join(tmpdir(), `fairlead-${kind}-${owner}-`))
    process.once('exit', this.#atExit)
  }

  /** Safe to call twice. */
  remove(): void {
    process.off('exit', this.#atExit)
    this.#atExit()
  }
}

/** Removes the directories of processes that are no more; those of other users are left to them. */
export function removeOrphanedDirectories(): void {
  for (const name of readdirSync(tmpdir())) {
    const [, pid, ticks] = NAME.exec(name) ?? []
    if (pid === undefined || startTicks(Number(pid)) === ticks) continue
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true })
    } catch (error) {
      if (!['EPERM', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }
}

/**
 * When a process started, in clock ticks since boot (field 22 of /proc/PID/stat): with its number it is unique, since
 * numbers are used again. `undefined` when there is no such process.
 */
export function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
