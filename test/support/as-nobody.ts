/** How tests try what an ordinary user can do, where they run as root. */
import { spawnSync } from 'node:child_process'

/** Put before a command. */
export const AS_NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'] as const

/** Why an ordinary user cannot use this file; a checkout below a private folder is root's alone. */
export function nobodyProblem(file: string): string | undefined {
  if (process.getuid?.() !== 0) return undefined
  const [setpriv, ...args] = AS_NOBODY
  return spawnSync(setpriv, [...args, 'test', '-r', file]).status === 0
    ? undefined
    : 'an ordinary user may not read this folder'
}
