/** Process entry: arguments, signals, exit codes (0 done, 1 failed, 2 wrong usage or configuration). Nothing else. */
import { writeFileSync } from 'node:fs'
import { readCommandLine } from './cli/command-line.ts'
import type { QueryName } from './cli/query-commands.ts'
import { ConfigError } from './config/config-error.ts'

type Subcommand = (argv: readonly string[], signal: AbortSignal) => Promise<number>

const QUERIES: Readonly<Record<QueryName, Subcommand>> = {
  explain: async (argv, signal) => (await import('./cli/explain-command.ts')).explainCommand(argv, signal),
  dump: async (argv, signal) => (await import('./cli/dump-command.ts')).dumpCommand(argv, signal),
  doctor: async (argv, signal) => (await import('./cli/doctor-command.ts')).doctorCommand(argv, signal),
  diff: async (argv, signal) => (await import('./cli/diff-command.ts')).diffCommand(argv, signal),
}

async function main(argv: readonly string[], signal: AbortSignal): Promise<number> {
  if (argv[0] === 'lab') return (await import('./cli/lab/lab-command.ts')).labCommand(argv.slice(1), signal)
  const query = new Map<string, Subcommand>(Object.entries(QUERIES)).get(argv[0] ?? '')
  if (query !== undefined) return query(argv.slice(1), signal)
  const command = readCommandLine(argv)
  switch (command.action) {
    case 'print':
      process.stdout.write(command.text)
      return 0
    case 'invalid':
      for (const error of command.errors) process.stderr.write(`fairlead: ${error.message}\n`)
      return 2
    case 'write-config':
      writeFileSync(command.path, command.text)
      return 0
    case 'init-only':
      return (await import('./cli/prepare.ts')).initOnly(command.config, signal)
    case 'cleanup':
      return (await import('./cli/prepare.ts')).cleanup(command.config, signal)
    case 'run':
      return (await import('./cli/run.ts')).runDaemon(command, argv, signal)
  }
}

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort())

try {
  process.exitCode = await main(process.argv.slice(2), stop.signal)
} catch (error) {
  if (!stop.signal.aborted) {
    process.stderr.write(`fairlead: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = error instanceof ConfigError ? 2 : 1
  }
}
// Whatever still waits (a kept-alive connection, a sleeping monitor) must not keep the process from ending.
// Not at once: we may have been resumed inside a native callback that must return first.
setImmediate(() => process.exit())
