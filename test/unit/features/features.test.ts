/** Every feature is proved in every mode, or the reason why not is written down; and the documents say the same. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadOwnCases } from '../../conformance/own-cases.ts'
import { featureDocument, featureSummary } from '../../features/feature-document.ts'
import { type Feature, MODES } from '../../features/feature.ts'
import { filesToRun, isPacketTest, proofsOf, statusOf } from '../../features/proved.ts'
import { FEATURES } from '../../features/rows.ts'

const ROOT = join(import.meta.dirname, '../../..')
const cases = loadOwnCases()
const everyMode = FEATURES.flatMap((feature) => MODES.map((mode) => ({ feature, mode })))
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

test('features are all of the 75 that a service proxy on Linux has, each once', () => {
  expect(FEATURES.map(({ number }) => number)).toEqual(Array.from({ length: 75 }, (_, i) => i + 1))
})

test('features have a test or a reason in every mode', () => {
  const bare = everyMode.filter(
    ({ feature, mode }) =>
      proofsOf(feature, mode, cases).length === 0 && (feature.cannot[mode] ?? '').length < 10,
  )
  expect(bare.map(({ feature, mode }) => `${feature.number} in ${mode}`)).toEqual([])
})

test('features name tests that exist', () => {
  const named = everyMode.flatMap(({ feature, mode }) => proofsOf(feature, mode, cases))
  const missing = named.filter(({ file, title }) => !existsSync(join(ROOT, file)) || !declares(file, title))
  expect(missing.map(({ file, title }) => `${file}: ${title}`)).toEqual([])
})

/** Packet-flow cases are declared by data. */
function declares(file: string, title: string): boolean {
  return isPacketTest({ file, title }) || read(file).includes(title)
}

test('packet-flow cases name features that there are', () => {
  const numbers = new Set(FEATURES.map(({ number }) => number))
  const strange = cases.flatMap(({ features }) => features.filter((number) => !numbers.has(number)))
  expect(strange).toEqual([])
})

test('filesToRun() are files that jest finds', () => {
  expect(filesToRun(FEATURES, cases).filter((file) => !existsSync(join(ROOT, file)))).toEqual([])
})

describe('the documents', () => {
  const report = { features: FEATURES, cases, status: () => 'passed' as const }

  test('docs/features.md is what a run in which everything passed has written', () => {
    expect(read('docs/features.md')).toBe(featureDocument(report))
  })

  test('README.md has the table of that run', () => {
    expect(read('README.md')).toContain(featureSummary(report))
  })
})

describe('statusOf()', () => {
  const test1 = { file: 'a.test.ts', title: 'Thing does $what (%s)', within: 'in ipvs' }
  const result = (fullName: string, status: string) => ({ fullName, status })

  test.each([
    ['passed', [result('in ipvs mode › Thing does this (IPv4)', 'passed')]],
    ['not run', [result('in nftables mode › Thing does this (IPv4)', 'passed')]],
    ['not run', [result('in ipvs mode › Thing does this (IPv4)', 'pending')]],
    ['not run', [result('in ipvs mode › Thing does this (IPv4) and that', 'passed')]],
    [
      'failed',
      [
        result('in ipvs mode › Thing does this (IPv4)', 'passed'),
        result('in ipvs mode › Thing does that (IPv6)', 'failed'),
      ],
    ],
  ])('is "%s" of %j', (status, results) => {
    expect(statusOf([test1], results)).toBe(status)
  })

  test('is "not run" when one of several tests is missing, and of none', () => {
    const results = [result('in ipvs mode › Thing does this (IPv4)', 'passed')]
    expect(statusOf([test1, { file: 'b.test.ts', title: 'Other' }], results)).toBe('not run')
    expect(statusOf([], results)).toBe('not run')
  })
})

test('featureDocument() says what failed, and why a mode cannot', () => {
  const feature: Feature = {
    number: 1,
    area: 'Kernel',
    title: 'Thing',
    everywhere: [{ file: 'a.test.ts', title: 'Thing does' }],
    by: {},
    cannot: { ipvs: 'the kernel has no such thing' },
  }
  const text = featureDocument({
    features: [feature],
    cases: [],
    status: (_, mode) => (mode === 'iptables' ? 'failed' : 'passed'),
  })
  expect(text).toMatch(/\| 1 {3}\| Thing {3}\| failed {3}\| – {4}\| passed {3}\|/)
  expect(text).toContain('- 1, ipvs: the kernel has no such thing.')
})
