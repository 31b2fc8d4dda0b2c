import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { OwnDirectory, removeOrphanedDirectories, startTicks } from '../../../src/lab/own-directory.ts'

describe('OwnDirectory', () => {
  it('exists until it is removed, which may be said twice', () => {
    const directory = new OwnDirectory('lab')
    expect(existsSync(directory.path)).toBe(true)
    directory.remove()
    directory.remove()
    expect(existsSync(directory.path)).toBe(false)
  })
})

describe('removeOrphanedDirectories()', () => {
  const made: string[] = []
  const make = (name: string): string => {
    const path = join(tmpdir(), name)
    mkdirSync(path)
    made.push(path)
    return path
  }

  afterEach(() => {
    for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true })
  })

  it('removes what a process left that is no more', () => {
    const { pid } = spawnSync('true')
    const left = make(`fairlead-lab-${pid}-1-abcdef`)
    removeOrphanedDirectories()
    expect(existsSync(left)).toBe(false)
  })

  it('removes what an earlier process with the number of a living one left', () => {
    const left = make(`fairlead-uml-${process.pid}-1-abcdef`)
    removeOrphanedDirectories()
    expect(existsSync(left)).toBe(false)
  })

  it('keeps what belongs to a living process, and whatever has another name', () => {
    const own = new OwnDirectory('uml')
    const other = make('fairlead-lab-notes-1-abcdef')
    removeOrphanedDirectories()
    expect([existsSync(own.path), existsSync(other)]).toEqual([true, true])
    expect(basename(own.path)).toContain(`-${process.pid}-${startTicks(process.pid)}-`)
    own.remove()
  })
})

describe('startTicks()', () => {
  it('is unknown for a process that does not exist', () => {
    expect(startTicks(2 ** 22 + 1)).toBeUndefined()
  })
})
