/**
 * A kubeconfig file, or the service account of a pod, → how to reach the API server. Reads files, keeps no state.
 *
 * Of @kubernetes/client-node only the decoding of clusters, users and contexts is used. Its class KubeConfig imports
 * the whole generated client, which costs 70 MB of resident memory (measured: 62 MB before, 132 MB after), does not
 * know `tokenFile`, and keeps credentials for the life of the process.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import {
  type Cluster,
  newClusters,
  newContexts,
  newUsers,
  type User,
} from '@kubernetes/client-node/dist/config_types.js'
import { parse } from 'yaml'
import { ConfigError } from '../config/config-error.ts'
import { decodeExecPlugin, type ExecPlugin } from './exec-credential.ts'
import { asRecord, stringAt, valueAt } from './json-value.ts'
import { messageOf, printable } from './watch-error.ts'

/** What a TLS connection needs. `undefined` certificates: the system's authorities, no client certificate. */
export interface TlsMaterial {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly serverName: string | undefined
  readonly verify: boolean
  readonly proxyUrl: string | undefined
}

/** Everything a kubeconfig says about its current context, with the files that it names read. */
export interface Identity {
  readonly server: string
  readonly tls: TlsMaterial
  /** `Authorization` and impersonation. */
  readonly headers: Readonly<Record<string, string>>
  /** A program that gives a token or a client certificate; its answer replaces those above. */
  readonly exec: ExecPlugin | undefined
}

/** Where a pod finds its token and authority. */
export const SERVICE_ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'

/** Reads a kubeconfig file and the files it names. Throws ConfigError. */
export function readKubeconfig(path: string): Identity {
  const document = decodeYaml(path)
  const { cluster, user, rawUser } = choose(path, document)
  const folder = dirname(resolve(path))
  const read = (file: string | undefined, data: string | undefined): string | undefined => {
    if (data !== undefined && data !== '') return Buffer.from(data, 'base64').toString('utf8')
    return file === undefined || file === '' ? undefined : readNamedFile(resolve(folder, file), path)
  }
  refuseAuthProvider(path, user)
  const tls: TlsMaterial = {
    ca: read(cluster.caFile, cluster.caData),
    cert: read(user?.certFile, user?.certData),
    key: read(user?.keyFile, user?.keyData),
    serverName: cluster.tlsServerName,
    verify: !cluster.skipTLSVerify,
    proxyUrl: checkProxy(path, cluster.proxyUrl),
  }
  checkTls(path, tls)
  const tokenFile = stringAt(rawUser, 'tokenFile')
  // client-go prefers the file: it is the one that rotates.
  const token = tokenFile === undefined ? user?.token : read(tokenFile, undefined)?.trim()
  return {
    server: checkServer(path, cluster.server),
    tls,
    headers: headersOf(user, token),
    exec: user?.exec ? decodeExecPlugin(user.exec, { path, folder, cluster }) : undefined,
  }
}

/** Reads the service account of the pod we run in. Throws ConfigError. */
export function readServiceAccount(folder: string, server: string): Identity {
  const token = readNamedFile(`${folder}/token`, folder).trim()
  const tls = {
    ca: readNamedFile(`${folder}/ca.crt`, folder),
    cert: undefined,
    key: undefined,
    serverName: undefined,
    verify: true,
    proxyUrl: undefined,
  }
  checkTls(`${folder}/ca.crt`, tls)
  return { server, tls, headers: { authorization: `Bearer ${token}` }, exec: undefined }
}

/** Checks one address of an API server. `path` is the flag or file that gave it. Throws ConfigError. */
export function checkServer(path: string, server: string): string {
  const url = URL.parse(server)
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw invalid(path, `"${printable(server)}" is not an address of an API server; write https://HOST:6443`)
  }
  return url.href.replace(/\/$/, '')
}

function decodeYaml(path: string): unknown {
  const text = readNamedFile(path, path)
  try {
    const document: unknown = parse(text)
    if (asRecord(document) !== undefined) return document
  } catch (error) {
    throw new ConfigError(`Cannot use kubeconfig "${path}": ${messageOf(error)}; correct the file`, {
      code: 'syntax',
      path,
      cause: error,
    })
  }
  throw new ConfigError(`Cannot use kubeconfig "${path}": it is not a YAML mapping; correct the file`, {
    code: 'syntax',
    path,
  })
}

interface Choice {
  readonly cluster: Cluster
  readonly user: User | undefined
  /** As written, for fields that the library does not know. */
  readonly rawUser: unknown
}

function choose(path: string, document: unknown): Choice {
  const name = stringAt(document, 'current-context')
  if (name === undefined) throw invalid(path, 'it has no "current-context"; add one')
  const rawUsers = valueAt(document, 'users')
  const found = decodeEntries(path, document)
  const context = found.contexts.find((each) => each.name === name)
  if (context === undefined) throw invalid(path, `it has no context "${printable(name)}"; add it`)
  const cluster = found.clusters.find((each) => each.name === context.cluster)
  if (cluster === undefined) throw invalid(path, `it has no cluster "${printable(context.cluster)}"; add it`)
  const named = context.user as string | undefined
  const user = found.users.find((each) => each.name === named)
  if (named !== undefined && user === undefined) {
    throw invalid(path, `it has no user "${printable(named)}"; add it`)
  }
  const raw: unknown = Array.isArray(rawUsers)
    ? rawUsers.find((each) => stringAt(each, 'name') === named)
    : undefined
  return { cluster, user, rawUser: valueAt(raw, 'user') }
}

function decodeEntries(path: string, document: unknown) {
  try {
    return {
      clusters: newClusters(valueAt(document, 'clusters')),
      contexts: newContexts(valueAt(document, 'contexts')),
      users: newUsers(valueAt(document, 'users')),
    }
  } catch (error) {
    throw invalid(path, `${messageOf(error)}; correct the file`, error)
  }
}

function refuseAuthProvider(path: string, user: User | undefined): void {
  if (!user?.authProvider) return
  throw invalid(path, 'its user has an "auth-provider", which Kubernetes removed; use an "exec" plugin')
}

function headersOf(user: User | undefined, token: string | undefined): Record<string, string> {
  const headers: Record<string, string> = {}
  if (token !== undefined && token !== '') headers['authorization'] = `Bearer ${token}`
  else if (user?.username) {
    const pair = `${user.username}:${user.password ?? ''}`
    headers['authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`
  }
  if (user?.impersonateUser) headers['impersonate-user'] = user.impersonateUser
  return headers
}

function checkProxy(path: string, proxyUrl: string | undefined): string | undefined {
  if (proxyUrl === undefined || proxyUrl === '') return undefined
  if (/^https?:\/\//.test(proxyUrl) && URL.canParse(proxyUrl)) return proxyUrl
  throw invalid(path, `"proxy-url: ${printable(proxyUrl)}" is not http:// or https://; use such a proxy`)
}

function checkTls(path: string, tls: TlsMaterial): void {
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    throw invalid(path, 'of client certificate and client key only one is given; give both')
  }
  try {
    // A context takes an authority that is no certificate without a word, and every connection then fails.
    if (tls.ca !== undefined) new X509Certificate(tls.ca)
    createSecureContext({ ca: tls.ca, cert: tls.cert, key: tls.key })
  } catch (error) {
    throw invalid(path, `its certificates or key are not usable (${messageOf(error)}); replace them`, error)
  }
}

function readNamedFile(file: string, path: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    const named = file === path ? '' : `, which "${path}" needs`
    throw new ConfigError(
      missing
        ? `Cannot read "${file}"${named}: there is no such file; correct the path`
        : `Cannot read "${file}"${named}: ${messageOf(error)}; make it readable for this user`,
      { code: missing ? 'missing-file' : 'unreadable', path: file, cause: error },
    )
  }
}

function invalid(path: string, what: string, cause?: unknown): ConfigError {
  return new ConfigError(`Cannot use kubeconfig "${path}": ${what}`, { code: 'invalid', path, cause })
}
