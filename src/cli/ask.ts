/** Puts a question: to the running proxy, or without one to the API server and the kernel of this node. */
import { loneSource } from '../daemon/lone-source.ts'
import { answerTo } from '../daemon/explain-answers.ts'
import { ProgramRunner } from '../kernel/program-runner.ts'
import { systemClock } from '../runtime/clock.ts'
import { askProxy } from './ask-proxy.ts'
import { type QueryFlags, usageError } from './query-flags.ts'
import { readVersion } from './version.ts'

export type Asked = Pick<QueryFlags, 'config' | 'alone'>

/**
 * Resolves to the answer's data. Throws AskError, ConfigError, or what keeps the API server or the kernel from being
 * asked.
 */
export async function ask(
  { config, alone }: Asked,
  question: { readonly path: string; readonly query?: Readonly<Record<string, string>> },
  signal: AbortSignal,
): Promise<unknown> {
  const { path, query = {} } = question
  if (!alone) return askProxy(socketOf(config), path, query)
  const exec = new ProgramRunner()
  const options = { config, exec, clock: systemClock, env: process.env, version: readVersion().number }
  const source = await loneSource(options, signal)
  const url = new URL(path, 'http://node')
  url.search = new URLSearchParams(query).toString()
  return answerTo(url, { source, signal })
}

function socketOf({ explainSocket }: QueryFlags['config']): string {
  if (explainSocket !== undefined) return explainSocket
  throw usageError(
    'Cannot ask the proxy: its configuration switches the socket off; set explainSocket and restart it, or name --kubeconfig to do without the proxy',
  )
}
