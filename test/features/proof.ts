/** Short words for writing features down. */
import type { BackendName } from '../../src/backends/backend.ts'
import { type Area, type Feature, MODES as ALL, type NamedTest } from './feature.ts'

interface Proof {
  readonly everywhere?: readonly NamedTest[]
  readonly by?: Feature['by']
  readonly cannot?: Feature['cannot']
}

export const unit = (file: string, title: string): NamedTest => ({ file: `test/unit/${file}.test.ts`, title })
export const kernel = (file: string, title: string): NamedTest => ({
  file: `test/kernel/${file}.test.ts`,
  title,
})
export const inside = (file: string, title: string): NamedTest => ({
  file: `test/kernel/inside-uml/${file}.inside.ts`,
  title,
})
export function forEach(test: (mode: BackendName) => NamedTest, modes = ALL): Feature['by'] {
  return Object.fromEntries(modes.map((mode) => [mode, [test(mode)]]))
}

/** Declared once in a file of test/support, run for each mode. */
function perMode(file: string, title: string, modes = ALL): Feature['by'] {
  return forEach((mode) => ({ file: `test/support/${file}-tests.ts`, title, within: `in ${mode}` }), modes)
}

/** By the built program, with a real API server. */
export function inProgram(title: string): Feature['by'] {
  return forEach((mode) => ({ file: 'test/e2e/every-mode.test.ts', title, within: `in ${mode} mode` }))
}

export function both(one: Feature['by'], other: Feature['by']): Feature['by'] {
  return Object.fromEntries(ALL.map((mode) => [mode, [...(one[mode] ?? []), ...(other[mode] ?? [])]]))
}

export const settings = (title: string, modes = ALL): Feature['by'] => perMode('every-mode', title, modes)
export const continuity = (title: string): Feature['by'] => perMode('continuity', title)

export function area(name: Area, rows: readonly (readonly [number, string, Proof?])[]): Feature[] {
  return rows.map(([number, title, { everywhere = [], by = {}, cannot = {} } = {}]) => ({
    number,
    area: name,
    title,
    everywhere,
    by,
    cannot,
  }))
}

export const NO_LOOPBACK = 'IPVS refuses packets from and to loopback addresses'
