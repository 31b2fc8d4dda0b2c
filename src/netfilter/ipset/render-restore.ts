/** The input of `ipset restore`. */
import type { IpSet, SetElement } from './ipset.ts'

export function renderCreate(set: IpSet): string {
  return `create ${set.name} ${set.text}`
}

/** With `-exist`, adding an element that is there sets its extensions anew. */
export function renderAdd(element: SetElement, set = element.set): string {
  return `add ${set} ${element.element}${element.text === '' ? '' : ` ${element.text}`}`
}

export function renderDelete(element: SetElement): string {
  return `del ${element.set} ${element.element}`
}

/**
 * Replaces a set that rules refer to by one of another shape with the given elements, in one step for packets. The
 * name in between ends in `~`, which no other set has.
 */
export function renderReplacement(set: IpSet, elements: readonly SetElement[]): readonly string[] {
  const draft = draftName(set.name)
  return [
    renderCreate({ ...set, name: draft }),
    `flush ${draft}`,
    ...elements.map((element) => renderAdd(element, draft)),
    `swap ${draft} ${set.name}`,
    `destroy ${draft}`,
  ]
}

export function draftName(name: string): string {
  return `${name.slice(0, 30)}~`
}
