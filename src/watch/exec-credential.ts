/**
 * Credentials from a program (`users[].user.exec` of a kubeconfig; client.authentication.k8s.io in the Kubernetes
 * documentation): it prints an ExecCredential with a token or a client certificate, and until when it may be used.
 */
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import type { Cluster } from '@kubernetes/client-node/dist/config_types.js'
import { ConfigError } from '../config/config-error.ts'
import { stringAt, valueAt } from './json-value.ts'
import { messageOf, printable, WatchError } from './watch-error.ts'

/** A plugin that hangs must not hang the proxy. */
const PLUGIN_LIMIT_MS = 60_000

export interface ExecPlugin {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export interface ExecCredential {
  readonly token: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  /** Milliseconds since the epoch; `undefined` when it does not expire. */
  readonly expiresMs: number | undefined
}

/** Checks the `exec` part of a user. Throws ConfigError. */
export function decodeExecPlugin(
  exec: unknown,
  place: { readonly path: string; readonly folder: string; readonly cluster: Cluster },
): ExecPlugin {
  const command = stringAt(exec, 'command')
  const apiVersion = stringAt(exec, 'apiVersion')
  if (command === undefined || apiVersion === undefined) {
    throw new ConfigError(
      `Cannot use kubeconfig "${place.path}": its exec plugin has no "command" or no "apiVersion"; add them`,
      { code: 'invalid', path: place.path },
    )
  }
  const args = valueAt(exec, 'args')
  const env = valueAt(exec, 'env')
  const info = {
    kind: 'ExecCredential',
    apiVersion,
    spec: {
      interactive: false,
      ...(valueAt(exec, 'provideClusterInfo') === true && { cluster: clusterInfo(place.cluster) }),
    },
  }
  return {
    // As client-go: a bare name is looked up in PATH, anything with a slash is relative to the kubeconfig.
    command: command.includes('/') ? resolve(place.folder, command) : command,
    args: Array.isArray(args) ? args.map(String) : [],
    env: {
      ...(Array.isArray(env) && Object.fromEntries(env.map(variable))),
      KUBERNETES_EXEC_INFO: JSON.stringify(info),
    },
  }
}

function variable(entry: unknown): [string, string] {
  return [stringAt(entry, 'name') ?? '', stringAt(entry, 'value') ?? '']
}

function clusterInfo(cluster: Cluster): object {
  return {
    server: cluster.server,
    'certificate-authority-data': cluster.caData,
    'tls-server-name': cluster.tlsServerName,
    'insecure-skip-tls-verify': cluster.skipTLSVerify,
  }
}

/** Runs the plugin. Throws WatchError `unauthorized` when it gives no credential. */
export async function runExecPlugin(plugin: ExecPlugin, signal: AbortSignal): Promise<ExecCredential> {
  const what = `Cannot get credentials from the plugin "${printable(plugin.command)}"`
  let output: string
  try {
    const run = promisify(execFile)
    const result = await run(plugin.command, plugin.args, {
      env: { ...process.env, ...plugin.env },
      timeout: PLUGIN_LIMIT_MS,
      killSignal: 'SIGKILL',
      signal,
    })
    output = result.stdout
  } catch (error) {
    signal.throwIfAborted()
    const said = printable(stringAt(error, 'stderr') ?? messageOf(error))
    throw new WatchError(`${what}: ${said}; run it by hand`, { code: 'unauthorized', cause: error })
  }
  return decodeExecCredential(output, what)
}

/** Pure part of `runExecPlugin`. */
export function decodeExecCredential(output: string, what: string): ExecCredential {
  let document: unknown
  try {
    document = JSON.parse(output)
  } catch (error) {
    throw new WatchError(`${what}: it did not print JSON; run it by hand`, {
      code: 'unauthorized',
      cause: error,
    })
  }
  const token = stringAt(document, 'status', 'token')
  const cert = stringAt(document, 'status', 'clientCertificateData')
  const key = stringAt(document, 'status', 'clientKeyData')
  if (token === undefined && (cert === undefined || key === undefined)) {
    throw new WatchError(
      `${what}: it printed neither a token nor a certificate with its key; run it by hand`,
      {
        code: 'unauthorized',
      },
    )
  }
  const expires = Date.parse(stringAt(document, 'status', 'expirationTimestamp') ?? '')
  return { token, cert, key, expiresMs: Number.isNaN(expires) ? undefined : expires }
}
