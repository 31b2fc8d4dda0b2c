import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { createServingCertificate } from '../../../src/lab/api-server/certificates.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { type CredentialOptions, openCredentials } from '../../../src/watch/credentials.ts'
import { decodeExecCredential } from '../../../src/watch/exec-credential.ts'
import { readKubeconfig } from '../../../src/watch/kubeconfig.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const { ca, certificate, key } = createServingCertificate(['127.0.0.1'], Date.now())
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const never = new AbortController().signal

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-credentials-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

/** A kubeconfig with one cluster, user and context. */
function kubeconfig(user: object, cluster: object = {}): string {
  return write(
    'kubeconfig',
    stringify({
      'current-context': 'here',
      clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443/', ...cluster } }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
    }),
  )
}

function open(options: Partial<CredentialOptions>) {
  const clock = new ManualClock(Date.UTC(2026, 0, 1))
  const credentials = openCredentials({
    kubeconfig: undefined,
    servers: [],
    clock,
    logger: silentLogger,
    env: {},
    ...options,
  })
  return { clock, credentials, current: () => credentials.current(never) }
}

describe('readKubeconfig', () => {
  test('readKubeconfig reads the files that are named relative to it', () => {
    write('ca.crt', ca)
    write('tls.crt', certificate)
    write('tls.key', key)
    const path = kubeconfig(
      { 'client-certificate': 'tls.crt', 'client-key': 'tls.key' },
      { 'certificate-authority': 'ca.crt', 'tls-server-name': 'api.example' },
    )
    expect(readKubeconfig(path)).toEqual({
      server: 'https://10.0.0.1:6443',
      tls: { ca, cert: certificate, key, serverName: 'api.example', verify: true, proxyUrl: undefined },
      headers: {},
      exec: undefined,
    })
  })

  test('readKubeconfig takes embedded data before files', () => {
    const path = kubeconfig({}, { 'certificate-authority': 'none', 'certificate-authority-data': base64(ca) })
    expect(readKubeconfig(path).tls.ca).toBe(ca)
  })

  test.each([
    [{ token: 'secret' }, { authorization: 'Bearer secret' }],
    [{ token: 'old', tokenFile: 'token' }, { authorization: 'Bearer from-file' }],
    [{ username: 'me', password: 'pw' }, { authorization: `Basic ${base64('me:pw')}` }],
    [
      { token: 't', as: 'other' },
      { authorization: 'Bearer t', 'impersonate-user': 'other' },
    ],
    [{}, {}],
  ])('readKubeconfig turns user %j into headers', (user, headers) => {
    write('token', 'from-file\n')
    expect(readKubeconfig(kubeconfig(user)).headers).toEqual(headers)
  })

  test.each<[string, () => string, string, RegExp]>([
    [
      'that does not exist',
      () => join(folder, 'none'),
      'missing-file',
      /^Cannot read ".*none": there is no such file; /,
    ],
    ['that is a folder', () => folder, 'unreadable', /^Cannot read ".*": EISDIR.*; make it readable/],
    [
      'that is not YAML',
      () => write('k', '{]'),
      'syntax',
      /^Cannot use kubeconfig ".*k": .*; correct the file$/,
    ],
    ['that is empty', () => write('k', ''), 'syntax', /not a YAML mapping/],
    ['without a current context', () => write('k', 'clusters: []'), 'invalid', /no "current-context"/],
    ['with a context that is missing', () => write('k', 'current-context: x'), 'invalid', /no context "x"/],
    [
      'with a cluster that is missing',
      () => write('k', 'current-context: x\ncontexts: [{name: x, context: {cluster: c}}]'),
      'invalid',
      /no cluster "c"/,
    ],
    [
      'with a user that is missing',
      () =>
        write(
          'k',
          'current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: "https://a"}}]',
        ),
      'invalid',
      /no user "u"/,
    ],
    [
      'with a cluster without a server',
      () => kubeconfig({}, { server: undefined }),
      'invalid',
      /server is missing/,
    ],
    [
      'with a server of another kind',
      () => kubeconfig({}, { server: 'ftp://x' }),
      'invalid',
      /not an address of an API/,
    ],
    [
      'with an authority that is missing',
      () => kubeconfig({}, { 'certificate-authority': 'none' }),
      'missing-file',
      /^Cannot read ".*none", which ".*kubeconfig" needs: /,
    ],
    [
      'with an authority that is no certificate',
      () => kubeconfig({}, { 'certificate-authority-data': base64('-----BEGIN CERTIFICATE-----\nx\n') }),
      'invalid',
      /not usable/,
    ],
    [
      'with half of a client certificate',
      () => kubeconfig({ 'client-certificate-data': base64(certificate) }),
      'invalid',
      /only one is given/,
    ],
    [
      'with a legacy plugin',
      () => kubeconfig({ 'auth-provider': { name: 'gcp' } }),
      'invalid',
      /auth-provider/,
    ],
    [
      'with a plugin without a command',
      () => kubeconfig({ exec: { apiVersion: 'v1' } }),
      'invalid',
      /"command"/,
    ],
    ['with a SOCKS proxy', () => kubeconfig({}, { 'proxy-url': 'socks5://p:1' }), 'invalid', /proxy-url/],
  ])('readKubeconfig refuses a file %s', (_, make, code, message) => {
    const path = make()
    expect(() => readKubeconfig(path)).toThrow(
      expect.objectContaining({ name: 'ConfigError', code, message: expect.stringMatching(message) }),
    )
  })
})

describe('openCredentials', () => {
  test('openCredentials lets given servers replace that of the kubeconfig, in their order', async () => {
    const { current } = open({
      kubeconfig: kubeconfig({ token: 't' }),
      servers: ['https://b:6443/', 'https://a'],
    })
    expect(await current()).toMatchObject({
      servers: ['https://b:6443', 'https://a'],
      headers: { authorization: 'Bearer t' },
    })
  })

  test('openCredentials refuses a server that is no address', () => {
    expect(() => open({ kubeconfig: kubeconfig({}), servers: ['10.0.0.1:6443'] })).toThrow(
      expect.objectContaining({ name: 'ConfigError', code: 'invalid', path: '--api-server' }),
    )
  })

  test.each([
    ['10.96.0.1', 'https://10.96.0.1:443'],
    ['fd00::1', 'https://[fd00::1]:443'],
  ])('openCredentials takes the service account of a pod that is told of %s', async (host, server) => {
    write('token', 'pod-token\n')
    write('ca.crt', ca)
    const env = { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: '443' }
    expect(await open({ env, serviceAccountFolder: folder }).current()).toMatchObject({
      servers: [server],
      tls: { ca, verify: true },
      headers: { authorization: 'Bearer pod-token' },
    })
  })

  test('openCredentials needs none for a server without TLS', async () => {
    const { current } = open({ servers: ['http://127.0.0.1:8001'] })
    expect(await current()).toMatchObject({ servers: ['http://127.0.0.1:8001'], headers: {} })
  })

  test('openCredentials says what to give when there is neither a kubeconfig nor a pod', () => {
    expect(() => open({})).toThrow(
      'Cannot find the API server: no kubeconfig was given, and this process does not run in a pod; give --kubeconfig FILE',
    )
  })

  test('openCredentials reads a rotated token after a minute, and at once after a refusal', async () => {
    const token = write('token', 'one')
    const { clock, credentials, current } = open({ kubeconfig: kubeconfig({ tokenFile: token }) })
    const bearer = async () => (await current()).headers['authorization']
    writeFileSync(token, 'two')
    await clock.advance(59_999)
    expect(await bearer()).toBe('Bearer one')
    await clock.advance(1)
    expect(await bearer()).toBe('Bearer two')
    writeFileSync(token, 'three')
    expect(await bearer()).toBe('Bearer two')
    credentials.refresh()
    expect(await bearer()).toBe('Bearer three')
  })

  test('openCredentials keeps what it has while a file is missing', async () => {
    const token = write('token', 'one')
    const { credentials, current } = open({ kubeconfig: kubeconfig({ tokenFile: token }) })
    rmSync(token)
    credentials.refresh()
    expect((await current()).headers).toEqual({ authorization: 'Bearer one' })
    writeFileSync(token, 'two')
    credentials.refresh()
    expect((await current()).headers).toEqual({ authorization: 'Bearer two' })
  })

  test('openCredentials gives the same TLS material until a certificate changes', async () => {
    const file = write('ca.crt', ca)
    const { credentials, current } = open({ kubeconfig: kubeconfig({}, { 'certificate-authority': file }) })
    const before = (await current()).tls
    credentials.refresh()
    expect((await current()).tls).toBe(before)
    writeFileSync(file, certificate)
    credentials.refresh()
    expect((await current()).tls.ca).toBe(certificate)
  })
})

describe('openCredentials with a plugin', () => {
  /** A plugin that counts its runs in a file and prints this status; `$RUN` is the number of the run. */
  function plugin(status: object): string {
    const answer = JSON.stringify({ kind: 'ExecCredential', status }).replaceAll('$RUN', "'$(wc -l < runs)'")
    const path = write(
      'plugin',
      `#!/bin/sh\ncd ${folder}\necho "$KUBERNETES_EXEC_INFO" >> runs\nprintf '%s\\n' '${answer}'\n`,
    )
    chmodSync(path, 0o755)
    return kubeconfig({ exec: { command: './plugin', apiVersion: 'client.authentication.k8s.io/v1' } })
  }

  test('openCredentials runs a plugin again when its token expires or is refused', async () => {
    const path = plugin({ token: 'run-$RUN', expirationTimestamp: '2026-01-01T00:00:30Z' })
    const { clock, credentials, current } = open({ kubeconfig: path })
    const bearer = async () => (await current()).headers['authorization']
    expect(await bearer()).toBe('Bearer run-1')
    expect(await bearer()).toBe('Bearer run-1')
    credentials.refresh()
    expect(await bearer()).toBe('Bearer run-2')
    await clock.advance(30_000)
    expect(await bearer()).toBe('Bearer run-3')
  })

  test('openCredentials takes a client certificate from a plugin', async () => {
    const { current } = open({
      kubeconfig: plugin({ clientCertificateData: certificate, clientKeyData: key }),
    })
    const { tls } = await current()
    expect(tls).toMatchObject({ cert: certificate.trimEnd() + '\n', key })
    expect((await current()).tls).toBe(tls)
  })

  test('openCredentials says why a plugin failed', async () => {
    const path = write('plugin', '#!/bin/sh\necho "log in first" >&2\nexit 3\n')
    chmodSync(path, 0o755)
    const { current } = open({ kubeconfig: kubeconfig({ exec: { command: path, apiVersion: 'v1' } }) })
    await expect(current()).rejects.toMatchObject({
      code: 'unauthorized',
      message: `Cannot get credentials from the plugin "${path}": log in first; run it by hand`,
    })
  })

  test('openCredentials says that a plugin does not exist', async () => {
    const { current } = open({ kubeconfig: kubeconfig({ exec: { command: './none', apiVersion: 'v1' } }) })
    await expect(current()).rejects.toMatchObject({
      code: 'unauthorized',
      message: expect.stringMatching(/ENOENT/),
    })
  })

  test.each(['', '[]', '{"status":{}}', '{"status":{"clientCertificateData":"x"}}'])(
    'decodeExecCredential refuses %j',
    (output) => {
      expect(() => decodeExecCredential(output, 'Cannot get credentials')).toThrow(
        expect.objectContaining({ code: 'unauthorized' }),
      )
    },
  )
})
