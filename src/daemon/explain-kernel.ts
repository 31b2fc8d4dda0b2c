/** Looks at the kernel for an explanation: each object as it is there, and what the kernel has counted on it. */
import type { Backend } from '../backends/backend.ts'
import type { ExplainedObject, ExplainedPort } from '../explain/explanation.ts'
import { contentOf } from '../explain/kernel-words.ts'
import type { ProxyView } from '../explain/proxy-view.ts'
import type { KernelObject, KernelState } from '../netfilter/kernel-state.ts'
import type { Family } from '../net/ip.ts'
import type { AnswerSource } from './answer-source.ts'

/** Objects whose counters are asked for; a Service with more is told without those of the rest. */
const MOST_COUNTED = 256

export interface LookOptions {
  readonly source: AnswerSource
  readonly view: ProxyView
  readonly signal: AbortSignal
}

/** The kernel is read once per family, however many ports there are; ports are left as they are where it cannot be. */
export async function lookAtKernel(
  ports: readonly ExplainedPort[],
  options: LookOptions,
): Promise<readonly ExplainedPort[]> {
  const { source, view } = options
  const looks = new Map<Family, Look>()
  for (const { family, inspector } of source.families) {
    const objects = ports.filter((port) => port.family === family).flatMap((port) => port.kernelObjects)
    const believed = view.families.find((one) => one.family === family)?.believed
    if (objects.length === 0 || believed === undefined) continue
    // Where it fails the explanation says "not checked"; who asks for the reason finds it in `diff`.
    const look = await inspector()
      .then(async (backend) => lookAt(backend, { objects, believed, signal: options.signal }))
      .catch(() => undefined)
    if (look !== undefined) looks.set(family, look)
  }
  return ports.map((port) => {
    const look = looks.get(port.family)
    return look === undefined ? port : { ...port, kernelObjects: port.kernelObjects.map(look) }
  })
}

type Look = (object: ExplainedObject) => ExplainedObject

interface Wanted {
  readonly objects: readonly ExplainedObject[]
  readonly believed: KernelState<KernelObject>
  readonly signal: AbortSignal
}

async function lookAt(
  inspector: Backend<KernelObject>,
  { objects, believed, signal }: Wanted,
): Promise<Look> {
  const present = objectsByKey(await inspector.observe(signal))
  const planned = objectsByKey(believed)
  const keys = new Set(objects.slice(0, MOST_COUNTED).map(({ key }) => key))
  const counted = await inspector.counters?.(keys, signal).catch(() => undefined)
  return (object) => {
    const found = present.get(object.key)
    const plan = planned.get(object.key)
    if (found === undefined) return { ...object, inKernel: 'missing' }
    if (plan === undefined || found.text !== plan.text) return { ...object, inKernel: 'differs' }
    const packets = packetsOf(object.lines, contentOf(plan), counted?.get(object.key))
    return { ...object, inKernel: 'as planned', ...(packets === undefined ? {} : { packets }) }
  }
}

/** One number for each line; a shared object shows only those lines that concern the Service. */
function packetsOf(
  lines: readonly string[],
  all: readonly string[],
  counted: readonly number[] | undefined,
): readonly number[] | undefined {
  if (counted?.length !== all.length) return undefined
  let from = 0
  return lines.map((line) => {
    const at = all.indexOf(line, from)
    from = at + 1
    return counted[at] ?? 0
  })
}

function objectsByKey(state: KernelState<KernelObject>): ReadonlyMap<string, KernelObject> {
  return new Map([...state.values()].flatMap((fragment) => [...fragment]))
}
