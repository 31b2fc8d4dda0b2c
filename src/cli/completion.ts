/** Shell scripts that complete Fairlead's commands and flags, from the table of settings. Pure text. */
import type { Setting } from '../config/setting.ts'
import { SETTING_ROWS } from '../config/settings.ts'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

const COMMANDS: readonly (readonly [string, string])[] = [
  ['explain', 'why a connection goes where it goes'],
  ['dump', 'what is wanted and what is programmed'],
  ['diff', 'where the kernel differs from what is wanted'],
  ['doctor', 'check this node'],
  ['completion', 'print a completion script'],
]

interface Option {
  readonly flag: string
  readonly help: string
  /** Words to choose from; `file` for paths; empty for anything. */
  readonly values: readonly string[] | 'file'
  readonly takesValue: boolean
}

export function completionScript(shell: Shell): string {
  const options = optionsOf()
  if (shell === 'bash') return bash(options)
  return shell === 'zsh' ? zsh(options) : fish(options)
}

function optionsOf(): readonly Option[] {
  const own = SETTING_ROWS.flatMap(([, row]) =>
    [row.flag, ...(row.aliases ?? [])].flatMap((flag) => (flag === undefined ? [] : [optionOf(flag, row)])),
  )
  const plain = { values: [], takesValue: false }
  return [
    ...own,
    { flag: 'help', help: 'Print help.', ...plain },
    { flag: 'version', help: 'Print the version.', ...plain },
  ]
}

function optionOf(flag: string, row: Setting<unknown>): Option {
  const type = row.type.name
  const isPath = type === 'file' || type === 'directory' || type === 'path'
  const values = isPath ? 'file' : type.includes('|') && !type.includes('CIDR') ? type.split('|') : []
  return { flag, help: row.help.replaceAll(/['"`:[\]\\$]/g, ''), values, takesValue: type !== 'bool' }
}

function bash(options: readonly Option[]): string {
  const cases = options.flatMap(({ flag, values }) => {
    if (values === 'file') return [`    --${flag}) COMPREPLY=($(compgen -f -- "$cur")); return ;;`]
    return values.length === 0
      ? []
      : [`    --${flag}) COMPREPLY=($(compgen -W "${values.join(' ')}" -- "$cur")); return ;;`]
  })
  return `# bash completion for fairlead; load it with: source <(fairlead completion bash)
_fairlead() {
  local cur prev
  cur="\${COMP_WORDS[COMP_CWORD]}"
  prev="\${COMP_WORDS[COMP_CWORD-1]}"
  if [ "$cur" = "=" ]; then cur=""; elif [ "$prev" = "=" ]; then prev="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  case "$prev" in
${cases.join('\n')}
    completion) COMPREPLY=($(compgen -W "${SHELLS.join(' ')}" -- "$cur")); return ;;
  esac
  if [[ "$cur" == -* ]]; then
    COMPREPLY=($(compgen -W "${options.map(({ flag }) => `--${flag}`).join(' ')}" -- "$cur"))
  else
    COMPREPLY=($(compgen -W "${COMMANDS.map(([name]) => name).join(' ')}" -- "$cur"))
  fi
}
complete -F _fairlead fairlead
`
}

function zsh(options: readonly Option[]): string {
  const specs = options.map(({ flag, help, values, takesValue }) => {
    if (!takesValue) return `    '--${flag}[${help}]'`
    const action = values === 'file' ? '_files' : values.length > 0 ? `(${values.join(' ')})` : ''
    return `    '--${flag}=[${help}]:value:${action}'`
  })
  return `#compdef fairlead
# zsh completion for fairlead; put it into a directory of $fpath as _fairlead
_fairlead() {
  local -a commands
  commands=(
${COMMANDS.map(([name, help]) => `    '${name}:${help}'`).join('\n')}
  )
  _arguments \\
${specs.map((spec) => `${spec} \\`).join('\n')}
    '1: :{_describe command commands}'
}
_fairlead "$@"
`
}

function fish(options: readonly Option[]): string {
  const flags = options.map(({ flag, help, values, takesValue }) => {
    const value =
      values === 'file'
        ? ' -r -F'
        : takesValue
          ? ` -x${values.length > 0 ? ` -a '${values.join(' ')}'` : ''}`
          : ''
    return `complete -c fairlead -l ${flag}${value} -d '${help}'`
  })
  const commands = COMMANDS.map(
    ([name, help]) => `complete -c fairlead -n __fish_use_subcommand -a ${name} -d '${help}'`,
  )
  return `# fish completion for fairlead; load it with: fairlead completion fish | source
complete -c fairlead -f
${[...commands, ...flags].join('\n')}
complete -c fairlead -n '__fish_seen_subcommand_from completion' -a '${SHELLS.join(' ')}'
`
}
