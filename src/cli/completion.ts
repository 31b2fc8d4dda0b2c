/** Shell scripts that complete Fairlead's commands and flags, from the tables that parse them. Pure text. */
import type { Setting } from '../config/setting.ts'
import { SETTING_ROWS } from '../config/settings.ts'
import { QUERY_COMMANDS, type QueryCommand, type QueryFlag } from './query-commands.ts'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

interface Option {
  readonly flag: string
  readonly short?: string | undefined
  readonly help: string
  /** Words to choose from; `file` for paths; empty for anything. */
  readonly values: readonly string[] | 'file'
  readonly takesValue: boolean
}

interface Command {
  readonly name: string
  readonly summary: string
  /** Words that may follow it. */
  readonly words: readonly string[]
  /** All that it takes, those of the proxy included; none: it takes no flags. */
  readonly options: readonly Option[]
}

const PLAIN = { values: [], takesValue: false } as const
const HELP: Option = { flag: 'help', help: 'Print help.', ...PLAIN }

const SETTINGS: readonly Option[] = SETTING_ROWS.flatMap(([, row]) =>
  [row.flag, ...(row.aliases ?? [])].flatMap((flag) => (flag === undefined ? [] : [ofSetting(flag, row)])),
)

const PROXY: readonly Option[] = [
  ...SETTINGS,
  HELP,
  { flag: 'version', help: 'Print the version.', ...PLAIN },
]

const COMMANDS: readonly Command[] = [
  ...Object.entries<QueryCommand>(QUERY_COMMANDS).map(([name, { summary, words, flags }]) => {
    const own = flags.map(ofQuery)
    const known = new Set(own.map(({ flag }) => flag))
    const others = [...SETTINGS, HELP].filter(({ flag }) => !known.has(flag))
    return { name, summary, words, options: [...own, ...others] }
  }),
  { name: 'completion', summary: 'print a completion script', words: SHELLS, options: [] },
]

export function completionScript(shell: Shell): string {
  if (shell === 'bash') return bash()
  return shell === 'zsh' ? zsh() : fish()
}

function ofSetting(flag: string, row: Setting<unknown>): Option {
  const type = row.type.name
  const isPath = type === 'file' || type === 'directory' || type === 'path'
  const values = isPath ? 'file' : type.includes('|') && !type.includes('CIDR') ? type.split('|') : []
  return { flag, help: plainText(row.help), values, takesValue: type !== 'bool' }
}

function ofQuery({ name: flag, short, help, values }: QueryFlag): Option {
  return { flag, short, help: plainText(help), values, takesValue: true }
}

/** Without what one of the shells reads as more than text. */
function plainText(text: string): string {
  return text.replaceAll(/['"`:[\]\\$]/g, '')
}

/** As they are written. */
function names({ flag, short }: Option): readonly string[] {
  return short === undefined ? [`--${flag}`] : [`--${flag}`, `-${short}`]
}

function bash(): string {
  const options = [PROXY, ...COMMANDS.map((command) => command.options)].flat()
  return `# bash completion for fairlead; load it with: source <(fairlead completion bash)
_fairlead() {
  local cur prev flags words
  cur="\${COMP_WORDS[COMP_CWORD]}"
  prev="\${COMP_WORDS[COMP_CWORD-1]}"
  if [ "$cur" = "=" ]; then cur=""; elif [ "$prev" = "=" ]; then prev="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  case "$prev" in
${bashValues(options).join('\n')}
  esac
  case "$COMP_CWORD:\${COMP_WORDS[1]}" in
    1:*) flags="${flagWords(PROXY)}" words="${COMMANDS.map(({ name }) => name).join(' ')}" ;;
${COMMANDS.map(bashCommand).join('\n')}
    *) flags="${flagWords(PROXY)}" words="" ;;
  esac
  if [[ "$cur" == -* ]]; then words="$flags"; fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _fairlead fairlead
`
}

/** One for each flag, whatever the command: a flag has the same values wherever it is known. */
function bashValues(options: readonly Option[]): readonly string[] {
  const lines = options.flatMap((option) => {
    const pattern = names(option).join('|')
    if (option.values === 'file') return [`    ${pattern}) COMPREPLY=($(compgen -f -- "$cur")); return ;;`]
    if (option.values.length === 0) return option.takesValue ? [`    ${pattern}) return ;;`] : []
    return [`    ${pattern}) COMPREPLY=($(compgen -W "${option.values.join(' ')}" -- "$cur")); return ;;`]
  })
  return [...new Set(lines)]
}

function bashCommand({ name, words, options }: Command): string {
  return `    *:${name}) flags="${flagWords(options)}" words="${words.join(' ')}" ;;`
}

function flagWords(options: readonly Option[]): string {
  return options.map(({ flag }) => `--${flag}`).join(' ')
}

function zsh(): string {
  return `#compdef fairlead
# zsh completion for fairlead; put it into a directory of $fpath as _fairlead
_fairlead() {
  local -a commands
  commands=(
${COMMANDS.map(({ name, summary }) => `    '${name}:${summary}'`).join('\n')}
  )
  case "\${words[2]}" in
${COMMANDS.map(zshCommand).join('\n')}
    *)
      _arguments \\
${zshSpecs(PROXY)}        '1: :{_describe command commands}'
      ;;
  esac
}
_fairlead "$@"
`
}

function zshCommand({ name, words, options }: Command): string {
  const what = words.length > 0 ? ` '2: :(${words.join(' ')})'` : ''
  return `    ${name})
      _arguments \\
${zshSpecs(options)}        '1: :(${name})'${what}
      ;;`
}

function zshSpecs(options: readonly Option[]): string {
  const specs = options.flatMap((option) =>
    names(option).map((name) => {
      if (!option.takesValue) return `'${name}[${option.help}]'`
      const { values } = option
      const action = values === 'file' ? '_files' : values.length > 0 ? `(${values.join(' ')})` : ''
      return `'${name}${name.startsWith('--') ? '=' : '+'}[${option.help}]:value:${action}'`
    }),
  )
  return specs.map((spec) => `        ${spec} \\\n`).join('')
}

function fish(): string {
  const commands = COMMANDS.map(
    ({ name, summary }) => `complete -c fairlead -n __fish_use_subcommand -a ${name} -d '${summary}'`,
  )
  const ofCommands = COMMANDS.flatMap(({ name, words, options }) => {
    const when = `complete -c fairlead -n '__fish_seen_subcommand_from ${name}'`
    const following = words.length > 0 ? [`${when} -a '${words.join(' ')}'`] : []
    return [...following, ...options.map((option) => `${when} ${fishOption(option)}`)]
  })
  const ofProxy = PROXY.map((option) => `complete -c fairlead -n __fish_use_subcommand ${fishOption(option)}`)
  return `# fish completion for fairlead; load it with: fairlead completion fish | source
complete -c fairlead -f
${[...commands, ...ofProxy, ...ofCommands].join('\n')}
`
}

function fishOption({ flag, short, help, values, takesValue }: Option): string {
  const choice = values === 'file' || values.length === 0 ? '' : ` -a '${values.join(' ')}'`
  const value = values === 'file' ? ' -r -F' : takesValue ? ` -x${choice}` : ''
  return `-l ${flag}${short === undefined ? '' : ` -s ${short}`}${value} -d '${help}'`
}
