/**
 * A configuration file: `KubeProxyConfiguration` in YAML or JSON, v1alpha1 as kube-proxy reads it, v1alpha2 as KEP-784
 * describes it, and in both a section `fairlead:` for what kube-proxy does not know.
 *
 * Unknown and duplicate fields are told and left out, because kube-proxy starts with them too; a value of the wrong
 * type or outside its limits is an error.
 */
import { parseDocument } from 'yaml'
import { ConfigError } from './config-error.ts'
import { type Given, type GivenSettings, type Refused, closest, refuse } from './given.ts'
import { parseGoDuration } from './go-duration.ts'
import type { Setting } from './setting.ts'
import { type FileVersion, type SettingName, SETTING_ROWS, fieldOf, isZero } from './settings.ts'
import { Unusable, shown } from './value-type.ts'

export const API_GROUP = 'kubeproxy.config.k8s.io'
export const KIND = 'KubeProxyConfiguration'

export interface ConfigFile extends GivenSettings {
  readonly version: FileVersion
}

type Section = Readonly<Record<string, unknown>>

/** Reads the text of a file; `path` is for messages. */
export function decodeConfigFile(text: string, path: string): ConfigFile {
  const notes: string[] = []
  const document = parseYaml(text, path, notes)
  if (document instanceof ConfigError) return failed(document)
  const version = versionOf(document)
  if (version === undefined) return failed(wrongKind(document, path))
  notes.push(...unknownFields(document, version).map((what) => `Left out of ${path}: ${what}`))
  return { version, errors: [], notes, ...decodeSettings(document, version, path) }
}

function failed(error: ConfigError): ConfigFile {
  return { version: 'v1alpha1', settings: new Map(), refused: [], errors: [error], notes: [] }
}

function parseYaml(text: string, path: string, notes: string[]): Section | ConfigError {
  // Merge keys and YAML 1.1's duplicates are what kube-proxy's own reader lets through.
  const document = parseDocument(text, { merge: true, prettyErrors: true })
  const errors = document.errors.filter((error) => error.code !== 'DUPLICATE_KEY')
  const [first] = errors
  if (first !== undefined) {
    const [what = ''] = first.message.split('\n')
    return unreadable(path, what.replace(/:$/, ''), 'correct the file')
  }
  for (const error of document.errors)
    notes.push(`Left out of ${path}: a field that is there twice at line ${error.linePos?.[0].line ?? 0}`)
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
  } catch (error) {
    return unreadable(
      path,
      error instanceof Error ? error.message : String(error),
      'write it without aliases',
    )
  }
  if (isSection(value)) return value
  return unreadable(path, 'it is not a map of settings', `begin it with apiVersion: ${API_GROUP}/v1alpha1`)
}

function unreadable(path: string, why: string, remedy: string): ConfigError {
  return new ConfigError(`Cannot read ${path}: ${shown(why)}; ${remedy}`, { code: 'syntax', path })
}

function isSection(value: unknown): value is Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function versionOf(document: Section): FileVersion | undefined {
  if (document['kind'] !== KIND) return undefined
  if (document['apiVersion'] === `${API_GROUP}/v1alpha1`) return 'v1alpha1'
  return document['apiVersion'] === `${API_GROUP}/v1alpha2` ? 'v1alpha2' : undefined
}

function wrongKind(document: Section, path: string): ConfigError {
  const is = `${shown(document['apiVersion'] ?? 'no apiVersion')} ${shown(document['kind'] ?? 'no kind')}`
  const wanted = `apiVersion: ${API_GROUP}/v1alpha1 and kind: ${KIND}`
  return new ConfigError(`Cannot use ${path}: it is "${is}"; begin it with ${wanted}`, {
    code: 'syntax',
    path,
  })
}

function decodeSettings(document: Section, version: FileVersion, path: string) {
  const settings = new Map<SettingName, Given>()
  const refused: Refused[] = []
  for (const [name, row] of SETTING_ROWS) {
    const field = fieldOf(row, version)
    const raw = field === undefined ? undefined : valueAt(document, field)
    if (field === undefined || isUnset(raw, row)) continue
    const label = `"${shown(`${field}: ${typeof raw === 'string' ? raw : JSON.stringify(raw)}`)}" in ${path}`
    const value = raw instanceof Unusable ? raw : row.type.decode(raw)
    if (value instanceof Unusable) refused.push(refuse(name, { label, path: field, why: value }))
    else settings.set(name, { value, label })
  }
  return { settings, refused: onePerField(refused) }
}

/** A field at Go's zero value was not given, unless zero has a meaning of its own: kubeadm writes all fields out. */
function isUnset(raw: unknown, row: Setting<unknown>): boolean {
  if (raw === undefined || raw === null) return true
  if (row.zeroCounts === true) return false
  return (
    isZero(raw) || (row.type.name === 'duration' && typeof raw === 'string' && parseGoDuration(raw) === 0)
  )
}

/** Two settings that share a field would report it twice. */
function onePerField(refused: readonly Refused[]): Refused[] {
  return [...new Map(refused.map((one) => [one.error.path, one])).values()]
}

function valueAt(document: Section, path: string): unknown {
  let value: unknown = document
  for (const key of path.split('.')) {
    if (value === undefined || value === null) return undefined
    if (!isSection(value))
      return new Unusable(`its section holds ${shown(value)}; write a map of fields there`)
    value = Object.hasOwn(value, key) ? value[key] : undefined
  }
  return value
}

/** One line for each field that this version does not have. */
function unknownFields(document: Section, version: FileVersion): string[] {
  const known = knownPaths(version)
  const other = knownPaths(version === 'v1alpha1' ? 'v1alpha2' : 'v1alpha1')
  const lines: string[] = []
  const visit = (section: Section, prefix: string): void => {
    for (const [key, value] of Object.entries(section)) {
      const path = prefix + key
      const kind = known.get(path)
      if (kind === 'section' && isSection(value)) visit(value, `${path}.`)
      if (kind !== undefined) continue
      const near = closest(path, known.keys())
      const hint = near === undefined ? '' : `; did you mean ${near}?`
      lines.push(
        other.has(path)
          ? `${path} is not a field of ${version}; it belongs to the other version`
          : `${shown(path)} is not a field of ${version}${hint}`,
      )
    }
  }
  visit(document, '')
  return lines
}

function knownPaths(version: FileVersion): Map<string, 'section' | 'field'> {
  const paths = new Map<string, 'section' | 'field'>([
    ['apiVersion', 'field'],
    ['kind', 'field'],
  ])
  for (const [, row] of SETTING_ROWS) {
    const keys = fieldOf(row, version)?.split('.') ?? []
    keys.forEach((_, depth) => {
      paths.set(keys.slice(0, depth + 1).join('.'), depth + 1 === keys.length ? 'field' : 'section')
    })
  }
  return paths
}
