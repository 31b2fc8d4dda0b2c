/**
 * The command line, read as pflag reads it: `--flag value`, `--flag=value`, `_` for `-`, booleans without a value,
 * `-v 4`, `-v=4` and `-v4`; lists grow when a flag is repeated, everything else takes the last value. All mistakes are
 * collected, so that an operator sees them at once.
 */
import { ConfigError } from './config-error.ts'
import { type Given, type GivenSettings, type Refused, closest, refuse } from './given.ts'
import type { Setting } from './setting.ts'
import { SETTING_ROWS, type SettingName } from './settings.ts'
import { Unusable, bool, shown } from './value-type.ts'

export interface CommandLine extends GivenSettings {
  readonly help: boolean
  /** `undefined`: not asked for; otherwise what stood after `--version=`, normally `true`. */
  readonly version: string | undefined
}

interface Flag {
  readonly name: SettingName
  readonly row: Setting<unknown>
}

const FLAGS: ReadonlyMap<string, Flag> = new Map(
  SETTING_ROWS.flatMap(([name, row]) =>
    [row.flag, ...(row.aliases ?? [])].flatMap((flag) => (flag === undefined ? [] : [[flag, { name, row }]])),
  ),
)

/** One flag as written: `text` is what the operator typed before `=`, `value` what came after it. */
interface Word {
  readonly flag: string
  readonly text: string
  readonly value: string | undefined
}

export function parseFlags(argv: readonly string[]): CommandLine {
  const reader = new FlagReader()
  const rest = [...argv]
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    const word = wordOf(arg)
    if (arg === '--') rest.splice(0).forEach((text) => reader.positional(text))
    else if (word === undefined) reader.positional(arg)
    else if (word.flag === 'help') reader.help = word.value === undefined || bool.parse(word.value) === true
    else if (word.flag === 'version') reader.version = word.value ?? 'true'
    else reader.flag(word, rest)
  }
  return reader.result()
}

/** `undefined` for what is no flag. */
function wordOf(arg: string): Word | undefined {
  if (arg.startsWith('--') && arg.length > 2) {
    const [, name = '', value] = /^--([^=]*)(?:=(.*))?$/s.exec(arg) ?? []
    return { flag: name.replaceAll('_', '-'), text: `--${name}`, value }
  }
  const short = /^-([A-Za-z])=?(.*)$/s.exec(arg)
  if (short === null) return undefined
  const letter = short[1] ?? ''
  const value = arg.length === 2 ? undefined : short[2]
  return { flag: letter === 'h' ? 'help' : letter, text: `-${letter}`, value }
}

class FlagReader {
  help = false
  version: string | undefined
  readonly #settings = new Map<SettingName, Given>()
  /** Settings that another flag stands for; a flag of their own counts more. */
  readonly #implied = new Map<SettingName, Given>()
  readonly #refused: Refused[] = []
  readonly #errors: ConfigError[] = []
  readonly #notes: string[] = []

  positional(text: string): void {
    this.#fail(`Cannot use argument "${shown(text)}": only flags are taken; see fairlead --help`, text)
  }

  flag(word: Word, rest: string[]): void {
    const known = FLAGS.get(word.flag)
    if (known === undefined) {
      // Its value, if the next word looks like one, is not another mistake.
      if (word.value === undefined && rest[0]?.startsWith('-') === false) rest.shift()
      const near = closest(word.flag, FLAGS.keys())
      const remedy = near === undefined ? 'see fairlead --help' : `did you mean --${near}?`
      this.#fail(`Cannot use "${shown(word.text)}": no such flag; ${remedy}`, word.text)
      return
    }
    const value = word.value ?? (known.row.type.name === 'bool' ? 'true' : rest.shift())
    if (value === undefined) {
      const remedy = `write ${word.text}=${known.row.type.name.toUpperCase()}`
      this.#fail(`Cannot use "${word.text}": it needs a value; ${remedy}`, word.text)
      return
    }
    this.#take(known, word.text, value)
  }

  result(): CommandLine {
    return {
      settings: new Map([...this.#implied, ...this.#settings]),
      refused: this.#refused,
      errors: this.#errors,
      notes: this.#notes,
      help: this.help,
      version: this.version,
    }
  }

  #take({ name, row }: Flag, text: string, value: string): void {
    const label = `"${shown(`${text}=${value}`)}"`
    const parsed = row.type.parse(value)
    if (parsed instanceof Unusable) {
      this.#refused.push(refuse(name, { label, path: text, why: parsed }))
      return
    }
    if (row.deprecated !== undefined) this.#notes.push(`${text} is deprecated: ${row.deprecated}`)
    const earlier = this.#settings.get(name)
    const joined = earlier === undefined ? parsed : (row.type.join?.(earlier.value, parsed) ?? parsed)
    this.#settings.set(name, { value: joined, label })
    for (const other of row.alsoSets ?? []) this.#implied.set(other as SettingName, { value: joined, label })
  }

  #fail(message: string, path: string): void {
    this.#errors.push(new ConfigError(message, { code: 'unknown', path: shown(path) }))
  }
}
