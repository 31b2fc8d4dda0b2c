/** The program's logger: pino's JSON lines, or the same facts as text for people. Tokens are never logged. */
import pino from 'pino'
import type { Logger } from './logger.ts'

export interface LoggerOptions {
  readonly format: 'text' | 'json'
  /** kube-proxy's `-v`: 0 is info, from 2 debug, from 6 trace. */
  readonly verbosity: number
  readonly write: (line: string) => void
}

/** A logger whose verbosity can be changed; children that exist already keep theirs. */
export interface AdjustableLogger extends Logger {
  setVerbosity(verbosity: number): void
}

export function createLogger(options: LoggerOptions): AdjustableLogger {
  const write = options.format === 'json' ? options.write : (line: string) => options.write(asText(line))
  const logger = pino(
    {
      level: levelOf(options.verbosity),
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write },
  )
  const setVerbosity = (verbosity: number): void => {
    logger.level = levelOf(verbosity)
  }
  return Object.assign(logger, { setVerbosity })
}

function levelOf(verbosity: number): string {
  if (verbosity >= 6) return 'trace'
  return verbosity >= 2 ? 'debug' : 'info'
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
