/** The import directions of docs/architecture.md, held as data. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const SRC = resolve(import.meta.dirname, '../../src')

const PURE = ['net', 'collections', 'model', 'forwarding', 'netfilter', 'backends']
const IMPURE = [...PURE, 'runtime', 'config', 'kernel', 'watch', 'metrics', 'health', 'events']

/** layer → folders it may import from (itself always) and whether Node's own modules are allowed. */
const RULES: Record<string, { may: readonly string[]; node: boolean }> = {
  net: { may: [], node: false },
  collections: { may: [], node: false },
  model: { may: ['net', 'collections'], node: false },
  forwarding: { may: ['net', 'collections', 'model'], node: false },
  netfilter: { may: ['net', 'collections'], node: false },
  backends: { may: PURE, node: false },
  'backends-impure': { may: [...PURE, 'kernel', 'runtime'], node: true },
  runtime: { may: [], node: true },
  config: { may: PURE, node: true },
  kernel: { may: [...PURE, 'runtime'], node: true },
  // A kubeconfig that cannot be used is a ConfigError, like every other mistake of the operator.
  watch: { may: [...PURE, 'runtime', 'config'], node: true },
  metrics: { may: [...PURE, 'runtime'], node: true },
  health: { may: [...PURE, 'runtime'], node: true },
  events: { may: [...PURE, 'runtime'], node: true },
  sync: { may: IMPURE, node: false },
  explain: { may: PURE, node: false },
}

/** Modules of Node that are pure functions or data. */
const PURE_NODE = /^import \{[^}]*\b(createHash|isIP|isIPv4|isIPv6)\b[^}]*\} from 'node:(crypto|net)'/
/** Turns of the event loop are not time: slicing work is allowed where waiting is not. */
const EVENT_LOOP = "from 'node:timers/promises'"

interface Import {
  readonly file: string
  readonly line: string
  readonly target: string
  readonly typeOnly: boolean
}

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return sourceFiles(path)
    return path.endsWith('.ts') ? [path] : []
  })
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(/^(?:import|export) [^'"]*?from '([^']+)'/gms)].map((match) => {
    const line = match[0].replace(/\s+/g, ' ')
    return {
      file,
      line,
      target: match[1]!,
      typeOnly: /^(import|export) type\b/.test(line) || onlyTypes(line),
    }
  })
}

function onlyTypes(line: string): boolean {
  const names = /\{([^}]*)\}/
    .exec(line)?.[1]
    ?.split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  return names !== undefined && names.length > 0 && names.every((name) => name.startsWith('type '))
}

function layerOf(file: string): string {
  const path = relative(SRC, file)
  const [folder = ''] = path.split('/')
  return folder === 'backends' && /-backend\.ts$/.test(path) ? 'backends-impure' : folder
}

function offence(found: Import): string | undefined {
  const layer = layerOf(found.file)
  const rule = RULES[layer]
  if (rule === undefined) return undefined
  const name = relative(SRC, found.file)
  if (!found.target.startsWith('.')) {
    const allowed =
      rule.node || PURE_NODE.test(found.line) || (layer === 'sync' && found.line.includes(EVENT_LOOP))
    return allowed ? undefined : `${name} imports ${found.target}: ${layer} is pure`
  }
  const folder = relative(SRC, resolve(dirname(found.file), found.target)).split('/')[0]!
  const own = layer === 'backends-impure' ? 'backends' : layer
  if (folder === own || rule.may.includes(folder) || found.typeOnly) return undefined
  return `${name} imports ${found.target}: ${layer} may only import ${rule.may.join(', ') || 'nothing'}`
}

const files = sourceFiles(SRC)

test('imports point down the layers', () => {
  expect(files.length).toBeGreaterThan(20)
  expect(
    files
      .flatMap(importsOf)
      .map(offence)
      .filter((found) => found !== undefined),
  ).toEqual([])
})

test('no file in src/ is over 400 lines', () => {
  const long = files.filter((file) => readFileSync(file, 'utf8').split('\n').length > 401)
  expect(long.map((file) => relative(SRC, file))).toEqual([])
})

test('no bag of leftovers has a place', () => {
  const bags = /^(utils?|helpers?|common|types|index|misc)$/
  const names = files.flatMap((file) => relative(SRC, file).replace(/\.ts$/, '').split('/'))
  expect(names.filter((name) => bags.test(name))).toEqual([])
})
