import { readFileSync } from 'node:fs'
import { parse as parseYaml } from 'yaml'
import { type Resolution, resolveConfig } from '../../../src/config/resolve-config.ts'
import type { Config } from '../../../src/config/config.ts'
import { SETTING_ROWS } from '../../../src/config/settings.ts'
import { EXAMPLES } from './setting-examples.ts'

const HEAD = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n'
const HEAD2 = HEAD.replace('v1alpha1', 'v1alpha2')

function resolve(argv: readonly string[], file?: string): Resolution {
  return resolveConfig(file === undefined ? argv : ['--config=f.conf', ...argv], {
    readFile: () => file ?? '',
  })
}

function configOf(argv: readonly string[], file?: string): Config {
  const resolution = resolve(argv, file)
  if ('config' in resolution) return resolution.config
  throw new Error(JSON.stringify(resolution))
}

function messages(argv: readonly string[], file?: string): readonly string[] {
  const resolution = resolve(argv, file)
  return resolution.action === 'invalid' ? resolution.errors.map((error) => error.message) : []
}

function notes(argv: readonly string[], file?: string): readonly string[] {
  const resolution = resolve(argv, file)
  return 'notes' in resolution ? resolution.notes : []
}

/** What kubeadm puts into the ConfigMap kube-proxy: every field, mostly at its zero value. */
const KUBEADM = readFileSync(`${import.meta.dirname}/kubeadm-config.conf`, 'utf8')

describe('resolveConfig()', () => {
  test('is complete without any argument', () => {
    expect(configOf([])).toMatchObject({
      mode: 'iptables',
      healthzBindAddress: { ip: '0.0.0.0', port: 10256 },
      metricsBindAddress: { ip: '127.0.0.1', port: 10249 },
      masqueradeBit: 14,
      masqueradeAll: false,
      localhostNodePorts: true,
      sync: { minSyncPeriodMs: 1000, syncPeriodMs: 30_000 },
      detectLocal: { mode: 'ClusterCIDR', clusterCidrs: [] },
      nodePortAddresses: 'all',
      conntrack: { maxPerCore: 32_768, min: 131_072, tcpEstablishedTimeoutMs: 86_400_000, udpTimeoutMs: 0 },
      ipvs: { scheduler: 'rr', drainTimeoutMs: 900_000 },
      oomScoreAdj: -999,
      allowExternalIps: true,
      externalIpCidrs: undefined,
      logging: { format: 'text', verbosity: 0 },
      configFile: undefined,
    })
  })

  test("takes kubeadm's ConfigMap as it is, without a word", () => {
    const argv = ['--hostname-override=Node-1']
    expect(configOf(argv, KUBEADM)).toMatchObject({
      mode: 'iptables',
      hostnameOverride: 'node-1',
      clientConnection: { kubeconfig: '/var/lib/kube-proxy/kubeconfig.conf', qps: 5, burst: 10 },
      detectLocal: { mode: 'ClusterCIDR', clusterCidrs: ['10.244.0.0/16'] },
      sync: { minSyncPeriodMs: 1000, syncPeriodMs: 30_000 },
      conntrack: { maxPerCore: 32_768 },
    })
    expect(notes(argv, KUBEADM)).toEqual([])
  })

  test('reads JSON and YAML alike', () => {
    const json = JSON.stringify(parseYaml(`${HEAD}mode: ipvs\nclusterCIDR: 10.0.0.0/8\n`))
    expect(configOf([], json)).toEqual(configOf([], `${HEAD}mode: ipvs\nclusterCIDR: 10.0.0.0/8\n`))
  })

  test.each<[string, string[], string, Partial<Config>]>([
    ['the file over a flag', ['--proxy-mode=ipvs'], 'mode: nftables', { mode: 'nftables' }],
    [
      '--hostname-override over the file',
      ['--hostname-override=a'],
      'hostnameOverride: b',
      { hostnameOverride: 'a' },
    ],
    ['-v over the file', ['-v=3'], 'logging: {verbosity: 1}', { logging: { format: 'text', verbosity: 3 } }],
    [
      '--logging-format over the file',
      ['--logging-format=json'],
      '',
      { logging: { format: 'json', verbosity: 0 } },
    ],
    [
      'own flags over the section fairlead',
      ['--state-dir=/a'],
      'fairlead: {stateDir: /b}',
      { stateDir: '/a' },
    ],
    ['the section fairlead over the default', [], 'fairlead: {stateDir: ""}', { stateDir: undefined }],
  ])('prefers %s', (_name, argv, file, want) => {
    expect(configOf(argv, `${HEAD}${file}\n`)).toMatchObject(want)
  })

  test('says once that a flag is replaced by the file', () => {
    expect(notes(['--kubeconfig=/k', '--bind-address-hard-fail'], HEAD)).toEqual([
      'Ignored "--kubeconfig=/k": the file that --config names replaces it',
      'Ignored "--bind-address-hard-fail=true": the file that --config names replaces it',
    ])
  })

  test.each<[string, string[], string | undefined, Partial<Config>]>([
    [
      'iptables periods in mode nftables from flags',
      ['--mode=nftables', '--iptables-sync-period=1m'],
      undefined,
      { sync: { minSyncPeriodMs: 1000, syncPeriodMs: 60_000 } },
    ],
    [
      'only its own periods in mode ipvs',
      ['--mode=ipvs', '--iptables-sync-period=1m', '--ipvs-min-sync-period=2s'],
      undefined,
      { sync: { minSyncPeriodMs: 2000, syncPeriodMs: 30_000 } },
    ],
    [
      'the section of the mode in a file',
      [],
      'mode: nftables\niptables: {syncPeriod: 1m}\nnftables: {syncPeriod: 2m, masqueradeBit: 3}',
      { sync: { minSyncPeriodMs: 1000, syncPeriodMs: 120_000 }, masqueradeBit: 3 },
    ],
    [
      'the iptables bit in mode ipvs',
      ['--mode=ipvs', '--iptables-masquerade-bit=7'],
      undefined,
      { masqueradeBit: 7 },
    ],
    [
      'no bit from flags in mode nftables',
      ['--mode=nftables', '--iptables-masquerade-bit=7'],
      undefined,
      { masqueradeBit: 14 },
    ],
    [
      'masquerade-all in every mode',
      ['--mode=nftables', '--masquerade-all'],
      undefined,
      { masqueradeAll: true },
    ],
    [
      'primary NodePort addresses in mode nftables',
      ['--mode=nftables'],
      undefined,
      { nodePortAddresses: 'primary' },
    ],
    [
      'every NodePort address for both /0 networks',
      ['--mode=nftables', '--nodeport-addresses=0.0.0.0/0,::/0'],
      undefined,
      { nodePortAddresses: 'all' },
    ],
    [
      'IPv6 listeners with an IPv6 bind address',
      ['--bind-address=2001:db8::1'],
      undefined,
      {
        healthzBindAddress: { ip: '::' as never, port: 10_256 },
        metricsBindAddress: { ip: '::1' as never, port: 10_249 },
        nodeIpOverride: ['2001:db8::1' as never],
      },
    ],
    [
      'no node address from an unspecified bind address',
      ['--bind-address=0.0.0.0'],
      undefined,
      { nodeIpOverride: [] },
    ],
    [
      'the port of --healthz-port',
      ['--healthz-bind-address=127.0.0.1', '--healthz-port=9'],
      undefined,
      { healthzBindAddress: { ip: '127.0.0.1' as never, port: 9 } },
    ],
    [
      'no servers with port 0',
      ['--healthz-port=0', '--metrics-port=0'],
      undefined,
      { healthzBindAddress: undefined, metricsBindAddress: undefined },
    ],
    [
      'the default port where a file names none',
      [],
      'metricsBindAddress: 0.0.0.0',
      { metricsBindAddress: { ip: '0.0.0.0' as never, port: 10_249 } },
    ],
    [
      'externalIPs off by their gate',
      ['--feature-gates=AllowServiceExternalIPs=false'],
      undefined,
      { allowExternalIps: false },
    ],
    [
      'gates of repeated flags',
      ['--feature-gates=ComponentFlagz=false', '--feature-gates=ComponentStatusz=false'],
      undefined,
      { featureGates: expect.objectContaining({ ComponentFlagz: false, ComponentStatusz: false }) as never },
    ],
    [
      'repeated lists added up',
      ['--nodeport-addresses=10.0.0.0/8', '--nodeport-addresses', 'fd00::/8'],
      undefined,
      { nodePortAddresses: ['10.0.0.0/8', 'fd00::/8'] as never },
    ],
    [
      'API servers in order, whichever flag names them',
      ['--api-server=a:1', '--master=https://b'],
      undefined,
      {
        clientConnection: {
          kubeconfig: undefined,
          apiServers: ['https://a:1', 'https://b'],
          qps: 5,
          burst: 10,
        },
      },
    ],
    [
      'the last of repeated single values',
      ['--proxy-mode=ipvs', '--mode=nftables'],
      undefined,
      { mode: 'nftables' },
    ],
    ['-v4, -v 4 and --v=4', ['-v4'], undefined, { logging: { format: 'text', verbosity: 4 } }],
  ])('uses %s', (_name, argv, file, want) => {
    expect(configOf(argv, file === undefined ? undefined : `${HEAD}${file}\n`)).toMatchObject(want)
  })

  test('reads what v1alpha2 moved and changed', () => {
    const file = `${HEAD2}mode: ipvs
syncPeriod: 1m
minSyncPeriod: 2s
linux: { masqueradeAll: true, oomScoreAdj: 5, conntrack: { maxPerCore: 1 } }
ipvs: { masqueradeBit: 9 }
iptables: { masqueradeBit: 8 }
detectLocal: { clusterCIDRs: [10.0.0.0/8, "fd00::/8"] }
nodeIPOverride: ["192.0.2.1"]
windows: { runAsService: false }
`
    expect(configOf([], file)).toMatchObject({
      sync: { minSyncPeriodMs: 2000, syncPeriodMs: 60_000 },
      masqueradeAll: true,
      masqueradeBit: 9,
      oomScoreAdj: 5,
      conntrack: { maxPerCore: 1, min: 131_072 },
      detectLocal: { clusterCidrs: ['10.0.0.0/8', 'fd00::/8'] },
      nodeIpOverride: ['192.0.2.1'],
      localhostNodePorts: false,
      bindAddressHardFail: true,
      configHardFail: true,
    })
  })

  test('tells every mistake at once', () => {
    expect(
      messages(['--cluster-cidr=10.0.0', '--proxy_mode=x', '--nope', '--clustr-cidr', '10.0.0.0/8', 'word']),
    ).toEqual([
      'Cannot use "--nope": no such flag; see fairlead --help',
      'Cannot use "--clustr-cidr": no such flag; did you mean --cluster-cidr?',
      'Cannot use argument "word": only flags are taken; see fairlead --help',
      'Cannot use "--cluster-cidr=10.0.0": not a CIDR; write it as 10.0.0.0/16',
      'Cannot use "--proxy_mode=x": unknown; write one of iptables, ipvs, nftables',
    ])
  })

  test.each<[string[], string | undefined, RegExp]>([
    [['--kubeconfig'], undefined, /^Cannot use "--kubeconfig": it needs a value; write --kubeconfig=FILE$/],
    [['--', '--cleanup'], undefined, /argument "--cleanup"/],
    [
      ['--detect-local-mode=BridgeInterface'],
      undefined,
      /"--detect-local-mode=BridgeInterface": no bridge is named; add --pod-bridge-interface/,
    ],
    [
      [],
      'detectLocalMode: InterfaceNamePrefix',
      /"detectLocalMode: InterfaceNamePrefix" in f.conf: no prefix is named/,
    ],
    [
      ['--iptables-min-sync-period=1m'],
      undefined,
      /"--iptables-min-sync-period=1m": the longest pause between runs, 1m0s, is longer than the sync period of 30s/,
    ],
    [
      ['--metrics-bind-address=0.0.0.0:10256'],
      undefined,
      /the health server listens on 0.0.0.0:10256 too; choose another port/,
    ],
    [[], 'conntrack: 5', /"conntrack.maxPerCore: .*its section holds 5; write a map of fields there/],
    [
      ['--hostname-override=a\nb'.repeat(50), '--nope\nx'],
      undefined,
      /^[^\n]*"--nope\\u000ax": no such flag/,
    ],
    [['--api-server=https://me:secret@host'], undefined, /^(?!.*secret).*a server address with a password/],
  ])('refuses %j %j in one line', (argv, file, want) => {
    expect(messages(argv, file === undefined ? undefined : `${HEAD}${file}\n`)[0]).toMatch(want)
  })

  test.each([
    ['{', /^Cannot read f.conf: .*; correct the file$/],
    [`${HEAD}bindAddress: ::\n`, /^Cannot read f.conf: .* at line 3/],
    ['- a\n', /it is not a map of settings/],
    ['', /it is not a map of settings/],
    ['apiVersion: v1\nkind: ConfigMap\n', /it is "v1 ConfigMap"; begin it with apiVersion: kubeproxy/],
    [`${HEAD}---\n${HEAD}`, /Cannot read f.conf/],
    [
      `a: &a [x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n`,
      /Cannot read f.conf: .*alias/,
    ],
  ])('refuses the file %j', (file, want) => {
    expect(messages([], file)).toEqual([expect.stringMatching(want)])
    expect(messages([], file)[0]).not.toContain('\n')
  })

  test('names a missing and an unreadable file', () => {
    expect(resolveConfig(['--config=/no/such/file'])).toMatchObject({
      errors: [{ code: 'missing-file', message: 'Cannot read /no/such/file: no such file; check --config' }],
    })
    expect(resolveConfig(['--config=/'])).toMatchObject({ errors: [{ code: 'unreadable', path: '/' }] })
  })

  test('leaves out unknown and duplicate fields, and says so', () => {
    const file = `${HEAD}mode: ipvs\nclustrCIDR: x\nsyncPeriod: 1s\nconntrack: {maximum: 1}\nmode: nftables\n`
    expect(notes([], file)).toEqual([
      'Left out of f.conf: a field that is there twice at line 7',
      'Left out of f.conf: clustrCIDR is not a field of v1alpha1; did you mean clusterCIDR?',
      'Left out of f.conf: syncPeriod is not a field of v1alpha1; it belongs to the other version',
      'Left out of f.conf: conntrack.maximum is not a field of v1alpha1',
    ])
  })

  test('leaves out a bad value that does not matter in this mode, and says so', () => {
    const argv = ['--detect-local-mode=NodeCIDR', '--cluster-cidr=nonsense', '--ipvs-exclude-cidrs=x']
    expect(messages(argv)).toEqual([])
    expect(notes(argv)).toEqual([
      expect.stringMatching(/"--cluster-cidr=nonsense".*it only matters with ClusterCIDR/),
      expect.stringMatching(/"--ipvs-exclude-cidrs=x".*it only matters with ipvs/),
    ])
  })

  test.each(SETTING_ROWS.filter(([, row]) => row.note !== undefined && row.flag !== undefined))(
    'says once that %s has no effect',
    (name, row) => {
      const said = notes([`--${row.flag!}=${EXAMPLES[name].flag![0]}`])
      expect(said).toEqual([expect.stringContaining(`has no effect: ${row.note!}`)])
    },
  )

  test('says that --healthz-port is deprecated', () => {
    expect(notes(['--healthz-port=9'])).toEqual(['--healthz-port is deprecated: use --healthz-bind-address'])
  })

  test.each<[string[], string]>([
    [['--help'], 'help'],
    [['-h', '--nope'], 'help'],
    [['--version'], 'version'],
    [['--version=raw'], 'version'],
    [['--cleanup'], 'cleanup'],
    [['--init-only'], 'init-only'],
    [['--cleanup=false'], 'run'],
    [['--write-config-to=x', '--cleanup'], 'write-config'],
  ])('%j asks for %s', (argv, action) => {
    expect(resolve(argv).action).toBe(action)
  })
})
