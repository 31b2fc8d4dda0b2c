/**
 * Who we are and whom we ask, kept current: files are read again once a minute and whenever the API server answers
 * 401, so that rotated tokens, renewed certificates and a corrected kubeconfig need no restart. A file that cannot be
 * read any more does not cost us the credentials that we have.
 */
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import { isIPv6 } from 'node:net'
import { ConfigError } from '../config/config-error.ts'
import { type ExecCredential, runExecPlugin } from './exec-credential.ts'
import {
  checkServer,
  type Identity,
  readKubeconfig,
  readServiceAccount,
  SERVICE_ACCOUNT_FOLDER,
  type TlsMaterial,
} from './kubeconfig.ts'

/** As client-go: a rotated token is seen after a minute at the latest. */
const REREAD_MS = 60_000

/** What one request needs. `tls` is the same object for as long as nothing in it has changed. */
export interface Access {
  /** At least one, without a slash at the end; in order of preference. */
  readonly servers: readonly string[]
  readonly tls: TlsMaterial
  readonly headers: Readonly<Record<string, string>>
}

export interface Credentials {
  /** Throws WatchError `unauthorized` when a credential plugin fails. */
  current(signal: AbortSignal): Promise<Access>
  /** The server refused them: read everything again at the next request. */
  refresh(): void
}

export interface CredentialOptions {
  /** Path of the kubeconfig; `undefined`: the service account of the pod we run in. */
  readonly kubeconfig: string | undefined
  /** Addresses (`--api-server`, `--master`) that replace the one of the kubeconfig or of the pod; may be empty. */
  readonly servers: readonly string[]
  readonly clock: Clock
  readonly logger: Logger
  /** Environment of the process, for KUBERNETES_SERVICE_HOST and _PORT. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly serviceAccountFolder?: string
}

/** Reads everything once, so that a mistake shows at start. Throws ConfigError. */
export function openCredentials(options: CredentialOptions): Credentials {
  const servers = options.servers.map((server) => checkServer('--api-server', server))
  return new FileCredentials({ ...options, servers })
}

class FileCredentials implements Credentials {
  readonly #options: CredentialOptions
  #identity: Identity
  #readMs: number
  #tls: TlsMaterial
  #plugin: ExecCredential | undefined
  #stale = false

  constructor(options: CredentialOptions) {
    this.#options = options
    this.#identity = readIdentity(options)
    this.#tls = this.#identity.tls
    this.#readMs = options.clock.monotonic()
  }

  async current(signal: AbortSignal): Promise<Access> {
    this.#readAgain()
    const { exec, headers, server } = this.#identity
    if (exec !== undefined && !this.#isPluginCurrent()) this.#plugin = await runExecPlugin(exec, signal)
    const { servers } = this.#options
    return {
      servers: servers.length > 0 ? servers : [server],
      tls: this.#sameTls({
        ...this.#identity.tls,
        ...(this.#plugin?.cert !== undefined && { cert: this.#plugin.cert, key: this.#plugin.key }),
      }),
      headers:
        this.#plugin?.token === undefined
          ? headers
          : { ...headers, authorization: `Bearer ${this.#plugin.token}` },
    }
  }

  refresh(): void {
    this.#stale = true
  }

  #readAgain(): void {
    const { clock, logger } = this.#options
    if (!this.#stale && clock.monotonic() - this.#readMs < REREAD_MS) return
    if (this.#stale) this.#plugin = undefined
    this.#stale = false
    this.#readMs = clock.monotonic()
    try {
      this.#identity = readIdentity(this.#options)
      if (this.#identity.exec === undefined) this.#plugin = undefined
    } catch (error) {
      // Half-written or missing for a moment: what we have may still be good, and the next minute looks again.
      logger.warn({ err: error }, 'Cannot read the credentials again, so those read before stay in use')
    }
  }

  #isPluginCurrent(): boolean {
    const plugin = this.#plugin
    return plugin !== undefined && (plugin.expiresMs ?? Infinity) > this.#options.clock.now()
  }

  #sameTls(tls: TlsMaterial): TlsMaterial {
    if (JSON.stringify(tls) !== JSON.stringify(this.#tls)) this.#tls = tls
    return this.#tls
  }
}

function readIdentity(options: CredentialOptions): Identity {
  if (options.kubeconfig !== undefined) return readKubeconfig(options.kubeconfig)
  const host = options.env['KUBERNETES_SERVICE_HOST']
  const port = options.env['KUBERNETES_SERVICE_PORT']
  if (host !== undefined && host !== '') {
    const server = `https://${isIPv6(host) ? `[${host}]` : host}:${port ?? '443'}`
    return readServiceAccount(options.serviceAccountFolder ?? SERVICE_ACCOUNT_FOLDER, server)
  }
  const [server] = options.servers
  if (server?.startsWith('http:')) return anonymous(server)
  throw new ConfigError(
    'Cannot find the API server: no kubeconfig was given, and this process does not run in a pod; give --kubeconfig FILE',
    { code: 'missing-file', path: '--kubeconfig' },
  )
}

/** Plain HTTP, as on the local port of `kubectl proxy`. */
function anonymous(server: string): Identity {
  const none = { ca: undefined, cert: undefined, key: undefined, serverName: undefined, proxyUrl: undefined }
  return { server, tls: { ...none, verify: true }, headers: {}, exec: undefined }
}
