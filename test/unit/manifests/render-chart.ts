/**
 * Renders the part of Helm's template language that our chart uses: `define`, `include`, `if`, `with`, `not`, `toYaml`,
 * `nindent`, `quote`, `default`, `required` and fields, in pipelines, with `{{-` and `-}}`. Anything else is an error,
 * so that a template cannot come to mean something else here than in Helm unnoticed.
 */
import { stringify } from 'yaml'
import type { Json } from './read-manifests.ts'

type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly pipeline: string }
  | { readonly kind: 'block'; readonly opener: string; readonly body: readonly Node[] }

export interface Chart {
  /** File name → template. */
  readonly templates: Readonly<Record<string, string>>
  /** What templates see as `.`: Values, Release, Chart. */
  readonly root: Json
}

/** File name → rendered text. Throws where Helm would, and for everything that is not known here. */
export function renderChart(chart: Chart): Record<string, string> {
  const defined = new Map<string, readonly Node[]>()
  const parsed = Object.entries(chart.templates).map(([file, text]) => [file, parseTemplate(text)] as const)
  for (const [, nodes] of parsed)
    for (const node of nodes)
      if (node.kind === 'block' && node.opener.startsWith('define '))
        defined.set(JSON.parse(node.opener.slice('define '.length)) as string, node.body)
  const render = new Renderer(defined)
  return Object.fromEntries(parsed.map(([file, nodes]) => [file, render.nodes(nodes, chart.root)]))
}

function parseTemplate(text: string): Node[] {
  const trimmed = text.replace(/\s*\{\{-/g, '{{').replace(/-\}\}\s*/g, '}}')
  const stack: { opener: string; body: Node[] }[] = [{ opener: '', body: [] }]
  for (const [index, part] of trimmed.split(/\{\{(.*?)\}\}/s).entries()) {
    const top = stack.at(-1)!
    const action = part.trim()
    if (index % 2 === 0) top.body.push({ kind: 'text', text: part })
    else if (/^(if|with|define) /.test(action)) stack.push({ opener: action, body: [] })
    else if (action === 'end') {
      stack.pop()
      stack.at(-1)!.body.push({ kind: 'block', ...top })
    } else top.body.push({ kind: 'value', pipeline: action })
  }
  if (stack.length !== 1) throw new Error(`Template without end: ${stack.at(-1)!.opener}`)
  return stack[0]!.body
}

class Renderer {
  readonly #defined: ReadonlyMap<string, readonly Node[]>

  constructor(defined: ReadonlyMap<string, readonly Node[]>) {
    this.#defined = defined
  }

  nodes(nodes: readonly Node[], dot: unknown): string {
    return nodes.map((node) => this.#node(node, dot)).join('')
  }

  #node(node: Node, dot: unknown): string {
    if (node.kind === 'text') return node.text
    if (node.kind === 'value') return textOf(this.#pipeline(node.pipeline, dot))
    const [, word = '', rest = ''] = /^(\w+) (.*)$/s.exec(node.opener) ?? []
    if (word === 'define') return ''
    const value = this.#pipeline(rest, dot)
    return isTrue(value) ? this.nodes(node.body, word === 'with' ? value : dot) : ''
  }

  #pipeline(pipeline: string, dot: unknown): unknown {
    const [first = '', ...others] = pipeline.split(' | ')
    let value = this.#command(first, dot, [])
    for (const command of others) value = this.#command(command, dot, [value])
    return value
  }

  #command(command: string, dot: unknown, piped: readonly unknown[]): unknown {
    const words = command.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? []
    const [first = '', ...rest] = words
    if (!/^[a-z]+$/i.test(first)) {
      if (rest.length > 0 || piped.length > 0) throw new Error(`Not a function: ${command}`)
      return operand(first, dot)
    }
    return this.#call(first, [...rest.map((word) => operand(word, dot)), ...piped])
  }

  #call(name: string, args: readonly unknown[]): unknown {
    if (name === 'include') {
      const body = this.#defined.get(String(args[0]))
      if (body === undefined) throw new Error(`No template "${String(args[0])}"`)
      return this.nodes(body, args[1])
    }
    const call = FUNCTIONS.get(name)
    if (call === undefined) throw new Error(`Unknown function "${name}"`)
    return call(args[0], args[1])
  }
}

const FUNCTIONS: ReadonlyMap<string, (a: unknown, b: unknown) => unknown> = new Map([
  ['toYaml', (value) => stringify(value, { lineWidth: 0 }).trimEnd()],
  ['nindent', (width, text) => `\n${String(text).replace(/^/gm, ' '.repeat(Number(width)))}`],
  ['quote', (value) => JSON.stringify(textOf(value))],
  ['default', (fallback, value) => (isTrue(value) ? value : fallback)],
  ['not', (value) => !isTrue(value)],
  ['required', required],
])

function required(message: unknown, value: unknown): unknown {
  if (value === undefined || value === null || value === '') throw new Error(String(message))
  return value
}

function operand(word: string, dot: unknown): unknown {
  if (word.startsWith('"')) return JSON.parse(word)
  if (/^\d+$/.test(word)) return Number(word)
  if (!/^\.(\w+(\.\w+)*)?$/.test(word)) throw new Error(`Unknown operand "${word}"`)
  let value = dot
  for (const key of word.slice(1).split('.').filter(Boolean)) value = (value as Json | undefined)?.[key]
  return value
}

/** Go's templates call empty collections false. */
function isTrue(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return Boolean(value)
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) throw new Error('A value that is not there is rendered')
  return typeof value === 'string' ? value : JSON.stringify(value)
}
