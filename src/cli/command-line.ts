/** What the command line of the daemon asks for, texts included; `main.ts` does it and sets the exit code. */
import { ConfigError } from '../config/config-error.ts'
import { type Resolution, type ResolveOptions, resolveConfig } from '../config/resolve-config.ts'
import { SHELLS, completionScript } from './completion.ts'
import { helpText } from './help-text.ts'
import { readVersion, versionText } from './version.ts'

export type Command =
  | Exclude<Resolution, { action: 'help' } | { action: 'version' }>
  /** Print this on standard output and exit with 0. */
  | { readonly action: 'print'; readonly text: string }

/**
 * `argv` without the program's name. Subcommands other than `completion` are not known here: `main.ts` takes them out
 * before. Never throws for what an operator may have written; the exit code for `invalid` is 2.
 */
export function readCommandLine(argv: readonly string[], options: ResolveOptions = {}): Command {
  if (argv[0] === 'completion') return completion(argv[1])
  const resolution = resolveConfig(argv, options)
  if (resolution.action === 'help') return { action: 'print', text: helpText() }
  if (resolution.action === 'version')
    return { action: 'print', text: versionText(readVersion(), resolution.style) }
  return resolution
}

function completion(name: string | undefined): Command {
  const shell = SHELLS.find((known) => known === name)
  if (shell !== undefined) return { action: 'print', text: completionScript(shell) }
  const message = `Cannot print a completion script for "${name ?? ''}": no such shell; write one of ${SHELLS.join(', ')}`
  return { action: 'invalid', errors: [new ConfigError(message, { code: 'unknown', path: 'completion' })] }
}
