/** Where the kernel differs from what is wanted, as rows. */
import type { Changes, KernelObject } from '../netfilter/kernel-state.ts'
import type { Family } from '../net/ip.ts'
import type { Row } from './dump.ts'
import { contentOf } from './kernel-words.ts'

/** `missing`: wanted and not there; `different`: there, but not as wanted; `extra`: ours, and not wanted. */
export function differenceRows(family: Family, changes: Changes<KernelObject>): readonly Row[] {
  const row = (difference: string, object: KernelObject, was: readonly string[]): Row => ({
    family,
    difference,
    kind: object.kind,
    key: object.key,
    kernel: was,
    wanted: difference === 'extra' ? [] : contentOf(object),
  })
  return [
    ...changes.created.map((object) => row('missing', object, [])),
    ...changes.updated.map(({ from, to }) => row('different', to, [from.text])),
    ...changes.removed.map((object) => row('extra', object, [object.text])),
  ]
}
