/** Groups the objects of a list into `page` events, so that whoever takes them works on a few hundred at a time. */
import type { ResourceEvent, ResourceKind } from '../model/resource-event.ts'

/** Raw objects that may wait: about 2 MB of EndpointSlices. */
const PAGE_SIZE = 250

/** One complete list, from its first page to `listed`. A list that is given up is simply not ended. */
export class ListDelivery {
  readonly #resource: ResourceKind
  readonly #emit: (event: ResourceEvent) => void
  #waiting: unknown[] = []
  #first = true
  #count = 0

  constructor(resource: ResourceKind, emit: (event: ResourceEvent) => void) {
    this.#resource = resource
    this.#emit = emit
  }

  /** Objects handed over so far. */
  get count(): number {
    return this.#count
  }

  add(object: unknown): void {
    this.#waiting.push(object)
    this.#count++
    if (this.#waiting.length >= PAGE_SIZE) this.flush()
  }

  /** Hands over what waits. Even an empty list has a first page. */
  flush(): void {
    if (this.#waiting.length === 0 && !this.#first) return
    const objects = this.#waiting
    this.#waiting = []
    this.#emit({ type: 'page', resource: this.#resource, first: this.#first, objects })
    this.#first = false
  }

  end(): void {
    this.flush()
    this.#emit({ type: 'listed', resource: this.#resource })
  }
}
