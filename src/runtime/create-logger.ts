/** The program's logger: pino's JSON lines, or the same facts as text for people. Tokens are never logged. */
import pino from 'pino'
import type { Logger } from './logger.ts'

export interface LoggerOptions {
  readonly format: 'text' | 'json'
  /** kube-proxy's `-v`: 0 is info, from 2 debug, from 6 trace. */
  readonly verbosity: number
  readonly write: (line: string) => void
}

export function createLogger(options: LoggerOptions): Logger {
  const level = options.verbosity >= 6 ? 'trace' : options.verbosity >= 2 ? 'debug' : 'info'
  const write = options.format === 'json' ? options.write : (line: string) => options.write(asText(line))
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write },
  )
}

/** `2026-01-31T12:00:00.000Z INFO  Applied changes  family=IPv4 created=3`. */
function asText(line: string): string {
  const { time, level, msg, ...facts } = JSON.parse(line) as Record<string, unknown>
  const pairs = Object.entries(facts).map(
    ([key, value]) => `${key}=${key === 'err' ? errorText(value) : valueText(value)}`,
  )
  const head = `${String(time)} ${String(level).toUpperCase().padEnd(5)} ${String(msg)}`
  return `${[head, ...pairs].join('  ')}\n`
}

function valueText(value: unknown): string {
  return typeof value === 'string' && /^[\w./:@+-]+$/.test(value) ? value : JSON.stringify(value)
}

function errorText(value: unknown): string {
  const message = (value as { message?: unknown } | null)?.message
  return JSON.stringify(message ?? value)
}
