import { ConfigError } from '../../config/config-error.ts'
import { demoCommand } from './demo-command.ts'
import { LAB_HELP, labDown, labStatus, labUp } from './up-command.ts'

/** `fairlead lab …`. Resolves to the exit code; throws ConfigError for wrong usage. */
export async function labCommand(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const [verb, ...rest] = argv
  switch (verb) {
    case 'demo':
      return demoCommand(rest, signal)
    case 'up':
      if (rest.includes('--help')) break
      return labUp(rest, signal)
    case 'status':
      return labStatus()
    case 'down':
      return labDown()
    case undefined:
    case '--help':
      break
    default:
      throw new ConfigError(`Cannot do "lab ${verb}": no such command; write up, status, down or demo`, {
        code: 'unknown',
        path: 'lab',
      })
  }
  process.stdout.write(LAB_HELP)
  return 0
}
