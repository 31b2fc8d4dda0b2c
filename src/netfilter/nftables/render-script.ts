/** From objects to the commands of `nft -f -`. Everything in one script is one transaction. */
import { forEachSliced, type Sliced } from '../../collections/sliced.ts'
import {
  type ChainObject,
  type ContainerObject,
  type ElementObject,
  type TableFamily,
  commentOf,
  partsOf,
} from './ruleset.ts'

/** Where the commands go, as in `ip kube-proxy`. */
export interface TableName {
  readonly family: TableFamily
  readonly name: string
}

/** Elements of one command: enough that the command itself costs nothing, few enough that a refusal is found. */
const ELEMENTS_PER_COMMAND = 200

export class ScriptRenderer {
  readonly #table: string
  readonly #lines: string[] = []

  constructor(table: TableName) {
    this.#table = `${table.family} ${table.name}`
  }

  /** `add table ip kube-proxy` */
  addTable(): void {
    this.#lines.push(`add table ${this.#table}`)
  }

  deleteTable(): void {
    this.#lines.push(`delete table ${this.#table}`)
  }

  /** `add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }` */
  addContainer({ name, text }: ContainerObject): void {
    const blank = text.indexOf(' ')
    this.#lines.push(`add ${text.slice(0, blank)} ${this.#table} ${name} ${text.slice(blank + 1)}`)
  }

  deleteContainer({ name, text }: ContainerObject): void {
    this.#lines.push(`delete ${text.slice(0, text.indexOf(' '))} ${this.#table} ${name}`)
  }

  /** `add chain ip kube-proxy nat-output { type nat hook output priority -100; }` */
  addChain({ name, hook }: ChainObject): void {
    const body =
      hook === undefined ? '' : ` { type ${hook.type} hook ${hook.hook} priority ${hook.priority}; }`
    this.#lines.push(`add chain ${this.#table} ${name}${body}`)
  }

  flushChain({ name }: ChainObject): void {
    this.#lines.push(`flush chain ${this.#table} ${name}`)
  }

  deleteChain({ name }: ChainObject): void {
    this.#lines.push(`delete chain ${this.#table} ${name}`)
  }

  /** `add rule ip kube-proxy reject-chain reject comment "no endpoints #1f2e3d4c"` */
  addRules({ name, rules }: ChainObject): void {
    for (const rule of rules)
      this.#lines.push(`add rule ${this.#table} ${name} ${rule.text} comment "${commentOf(rule)}"`)
  }

  /** `add element ip kube-proxy endpoints { 172.30.0.1 . 6 . 80 . 0 : 10.1.0.5 . 8080 }` */
  addElements(elements: Iterable<ElementObject>): Sliced<void> {
    return this.#elements('add', elements)
  }

  /** Values are left out: an element is found by its key. */
  deleteElements(elements: Iterable<ElementObject>): Sliced<void> {
    return this.#elements('delete', elements)
  }

  toString(): string {
    return this.#lines.length === 0 ? '' : `${this.#lines.join('\n')}\n`
  }

  /** Grouped by container, in the order in which the containers first occur. */
  *#elements(verb: 'add' | 'delete', elements: Iterable<ElementObject>): Sliced<void> {
    const textsByContainer = new Map<string, string[]>()
    yield* forEachSliced(elements, (object) => {
      const { container, element } = partsOf(object)
      const texts = textsByContainer.get(container) ?? []
      textsByContainer.set(container, texts)
      texts.push(object.text === '' || verb === 'delete' ? element : `${element} : ${object.text}`)
    })
    for (const [container, texts] of textsByContainer)
      for (let i = 0; i < texts.length; i += ELEMENTS_PER_COMMAND) {
        const group = texts.slice(i, i + ELEMENTS_PER_COMMAND).join(', ')
        this.#lines.push(`${verb} element ${this.#table} ${container} { ${group} }`)
      }
  }
}
