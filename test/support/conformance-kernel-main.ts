/**
 * The packet runner as a program, for a kernel that is not the one jest runs on:
 *
 *     node conformance-kernel-main.ts <proxy> <file with case names, one a line>
 *
 * Prints `case: {…}` with a `CaseResult`, or `{"name", "error"}`, for every case as soon as it is judged.
 */
import { readFileSync } from 'node:fs'
import { KNOWN_DIFFERENCES } from '../conformance/known-differences.ts'
import { loadKernelCases } from './conformance-kernel-cases.ts'
import type { BackendKey } from './conformance-kernel-backends.ts'
import { PROXIES } from './conformance-kernel-proxy.ts'
import { runCases } from './conformance-kernel.ts'

/** A slow machine of one processor gains nothing from more. */
const BEDS = 2

const [, , name, file] = process.argv
if (name === undefined || file === undefined || !(name in PROXIES))
  throw new Error(`Cannot run cases: usage is "<${Object.keys(PROXIES).join('|')}> <file with case names>"`)

const known = new Map(loadKernelCases().map((given) => [given.name, given]))
const cases = readFileSync(file, 'utf8')
  .split('\n')
  .flatMap((wanted) => known.get(wanted) ?? [])
const results = runCases({
  proxy: PROXIES[name as BackendKey],
  cases,
  differences: KNOWN_DIFFERENCES,
  beds: BEDS,
})
await Promise.all(
  [...results].map(async ([caseName, result]) => {
    const line = await result.catch((error: unknown) => ({ name: caseName, error: String(error) }))
    process.stdout.write(`case: ${JSON.stringify(line)}\n`)
  }),
)
