/** The cases that the kernel judges: the shared ones, when they lie beside the repository, and the project's own. */
import type { ConformanceCase, ConformanceFlow } from '../conformance/conformance-case.ts'
import { loadOwnCases } from '../conformance/own-cases.ts'
import { loadSharedCases, sharedConformancePath } from './conformance-cases.ts'

/** All of them, or those whose name matches the environment variable CONFORMANCE_ONLY. */
export function loadKernelCases(): ConformanceCase[] {
  return wantedOf([...loadSharedCases(), ...loadOwnCases()])
}

/** For a second way to write the same rules, which is not worth the time of all. */
export function loadOwnKernelCases(): ConformanceCase[] {
  return wantedOf(loadOwnCases())
}

function wantedOf(cases: readonly ConformanceCase[]): ConformanceCase[] {
  const wanted = new RegExp(process.env['CONFORMANCE_ONLY'] ?? '')
  return withoutRepeats(cases).filter(({ name }) => wanted.test(name))
}

/** Says once per file why only the project's own cases run. */
export function noteMissingCases(): void {
  if (sharedConformancePath === undefined)
    process.stderr.write(
      'note: the shared conformance cases are not beside this checkout; only own cases are judged\n',
    )
}

/** Leaves out cases whose objects and flows an earlier case has too. */
export function withoutRepeats(cases: readonly ConformanceCase[]): ConformanceCase[] {
  const seen = new Map<string, Set<string>>()
  return cases.filter((given) => {
    const objects = JSON.stringify([
      given.node,
      given.steps.map((step) => [step.services, step.endpointSlices]),
    ])
    const flows = given.steps.flatMap((step, index) => step.flows.map((flow) => `${index} ${packetOf(flow)}`))
    const before = seen.get(objects) ?? new Set<string>()
    seen.set(objects, new Set([...before, ...flows]))
    return flows.some((flow) => !before.has(flow))
  })
}

function packetOf(flow: ConformanceFlow): string {
  const { from, sourceIp, protocol, destIp, destPort, expect, expectBy } = flow
  return JSON.stringify([from, sourceIp, protocol, destIp, destPort, expect, expectBy])
}
