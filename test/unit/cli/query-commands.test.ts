import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { diffCommand } from '../../../src/cli/diff-command.ts'
import { dumpCommand } from '../../../src/cli/dump-command.ts'
import { explainCommand } from '../../../src/cli/explain-command.ts'
import { readQueryFlags } from '../../../src/cli/query-flags.ts'
import { ConfigError } from '../../../src/config/config-error.ts'

const { signal } = new AbortController()

describe('readQueryFlags()', () => {
  test('takes the socket from the flag, else from the settings', () => {
    expect(
      readQueryFlags(['--explain-socket=/x.sock', '-o', 'yaml', 'a/b', '--from', '10.0.0.1'], 'explain'),
    ).toMatchObject({
      words: ['a/b'],
      output: 'yaml',
      config: { explainSocket: '/x.sock' },
      help: false,
      own: { from: '10.0.0.1' },
      alone: false,
    })
    expect(readQueryFlags([], 'diff').config.explainSocket).toBe('/run/fairlead/fairlead.sock')
  })

  test('takes every flag of the proxy, with its value in the same or the next word', () => {
    const argv = ['--mode', 'ipvs', 'a/b', '--masquerade-all', '-v', '4', '--cluster_cidr=10.0.0.0/8']
    expect(readQueryFlags(argv, 'explain')).toMatchObject({
      words: ['a/b'],
      config: { mode: 'ipvs', masqueradeAll: true, detectLocal: { clusterCidrs: ['10.0.0.0/8'] } },
    })
    expect(() => readQueryFlags(['--mod=ipvs'], 'diff')).toThrow('did you mean --mode?')
    expect(() => readQueryFlags(['--output'], 'diff')).toThrow('it needs a value')
    expect(readQueryFlags(['--protocol=udp'], 'explain').own).toEqual({ protocol: 'UDP' })
    expect(() => readQueryFlags(['--protocol=UDP'], 'diff')).toThrow('see fairlead --help')
    expect(readQueryFlags(['--help', '--mod=ipvs'], 'diff').help).toBe(true)
  })

  test('does without the proxy when a kubeconfig is named, whatever the file names', () => {
    const folder = mkdtempSync(join(tmpdir(), 'fairlead-query-'))
    const file = join(folder, 'config.conf')
    writeFileSync(
      file,
      'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n' +
        'clientConnection:\n  kubeconfig: /of/the/proxy\n',
    )
    const config = { mode: 'nftables', clientConnection: { kubeconfig: '/mine' } }
    expect(readQueryFlags([`--config=${file}`, '--kubeconfig', '/mine'], 'diff')).toMatchObject({
      alone: true,
      config,
    })
    expect(readQueryFlags([`--config=${file}`], 'diff')).toMatchObject({
      alone: false,
      config: { clientConnection: { kubeconfig: '/of/the/proxy' } },
    })
    rmSync(folder, { recursive: true })
  })
})

test.each([
  ['explain', [], /^Cannot explain 0 things: write NAMESPACE\/SERVICE/],
  ['explain', ['a', 'b'], /^Cannot explain 2 things/],
  ['explain', ['10.0.0.1'], /^Cannot explain "10\.0\.0\.1"/],
  ['explain', ['a/b', '--from=me'], /not an IP address/],
  ['explain', ['a/b', '--protocol=icmp'], /write one of TCP, UDP, SCTP/],
  ['explain', ['a/b', '--nonsense'], /see fairlead --help/],
  ['dump', ['everything'], /^Cannot dump "everything": write one of forwarding, plan/],
  ['dump', ['plan', '-o', 'xml'], /^Cannot use "--output=xml": .* write one of table, json/],
  ['diff', ['now'], /^Cannot compare "now"/],
] as const)('%s %j is wrong usage', async (command, argv, message) => {
  const commands = { explain: explainCommand, dump: dumpCommand, diff: diffCommand }
  const asked = commands[command](argv, signal)
  await expect(asked).rejects.toThrow(message)
  await expect(asked).rejects.toBeInstanceOf(ConfigError)
})

test.each([
  ['explain', ['a/b']],
  ['dump', []],
  ['diff', []],
] as const)('%s says what to do when no proxy runs', async (command, argv) => {
  const commands = { explain: explainCommand, dump: dumpCommand, diff: diffCommand }
  await expect(commands[command]([...argv, '--explain-socket=/nowhere/x.sock'], signal)).rejects.toThrow(
    /no Fairlead answers there; start it/,
  )
})
