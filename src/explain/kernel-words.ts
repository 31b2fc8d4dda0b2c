/** Kernel objects for people, whatever the backend: their lines, and which of them concern one service port. */
import type { Frontend, PortForwarding } from '../forwarding/forwarding.ts'
import type { KernelObject, KernelState } from '../netfilter/kernel-state.ts'

/** Backends with chains keep their rules beside the digest that is compared. */
interface WithRules extends KernelObject {
  readonly name?: string
  readonly rules?: readonly (string | { readonly text: string })[] | undefined
}

/** The object's rules, a line each, or its text where it has none. */
export function contentOf(object: KernelObject): readonly string[] {
  const { rules } = object as WithRules
  if (rules === undefined) return object.text === '' ? [] : [object.text]
  return rules.map((rule) => (typeof rule === 'string' ? rule : rule.text))
}

export interface ConcernedObject {
  readonly object: KernelObject
  /** All of it, or those lines of a shared object that are about the service port. */
  readonly lines: readonly string[]
}

/** Objects that the service port caused, then the lines of shared ones that lead to it. */
export function objectsOf(
  port: PortForwarding,
  state: KernelState<KernelObject>,
): readonly ConcernedObject[] {
  const fragment = `port ${port.key}`
  const own = [...(state.get(fragment)?.values() ?? [])]
  const names = own.flatMap((object) => (object as WithRules).name ?? [])
  const concerns = (line: string): boolean =>
    names.some((name) => line.includes(name)) ||
    port.frontends.some((frontend) => dispatches(line, frontend, port.protocol.toLowerCase()))
  const shared: ConcernedObject[] = []
  for (const [name, objects] of state) {
    if (name.startsWith('port ')) continue
    for (const object of objects.values()) {
      const lines = contentOf(object).filter(concerns)
      if (lines.length > 0) shared.push({ object, lines })
    }
  }
  return [...own.map((object) => ({ object, lines: contentOf(object) })), ...shared]
}

/** A rule of iptables that matches the frontend's own address and port. */
function dispatches(line: string, { ip, port }: Frontend, protocol: string): boolean {
  const tokens = line.split(' ')
  if (!tokens.includes(protocol) || !tokens.includes(String(port))) return false
  return ip !== undefined && (tokens.includes(`${ip}/32`) || tokens.includes(`${ip}/128`))
}
