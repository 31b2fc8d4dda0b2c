import { diffCommand } from '../../../src/cli/diff-command.ts'
import { dumpCommand } from '../../../src/cli/dump-command.ts'
import { explainCommand } from '../../../src/cli/explain-command.ts'
import { readQueryFlags } from '../../../src/cli/query-flags.ts'
import { ConfigError } from '../../../src/config/config-error.ts'

describe('readQueryFlags()', () => {
  test('takes the socket from the flag, else from the settings', () => {
    expect(
      readQueryFlags(['--explain-socket=/x.sock', '-o', 'yaml', 'a/b', '--from', '10.0.0.1'], ['from']),
    ).toEqual({
      words: ['a/b'],
      output: 'yaml',
      socket: '/x.sock',
      help: false,
      own: { from: '10.0.0.1' },
    })
    expect(readQueryFlags([]).socket).toBe('/run/fairlead/fairlead.sock')
  })
})

test.each([
  ['explain', [], /^Cannot explain 0 things: write NAMESPACE\/SERVICE/],
  ['explain', ['a', 'b'], /^Cannot explain 2 things/],
  ['explain', ['10.0.0.1'], /^Cannot explain "10\.0\.0\.1"/],
  ['explain', ['a/b', '--from=me'], /not an IP address/],
  ['explain', ['a/b', '--protocol=icmp'], /write one of TCP, UDP, SCTP/],
  ['explain', ['a/b', '--nonsense'], /see --help/],
  ['dump', ['everything'], /^Cannot dump "everything": write one of forwarding, plan/],
  ['dump', ['plan', '-o', 'xml'], /^Cannot print as "xml"/],
  ['diff', ['now'], /^Cannot compare "now"/],
] as const)('%s %j is wrong usage', async (command, argv, message) => {
  const commands = { explain: explainCommand, dump: dumpCommand, diff: diffCommand }
  const asked = commands[command](argv)
  await expect(asked).rejects.toThrow(message)
  await expect(asked).rejects.toBeInstanceOf(ConfigError)
})

test.each([
  ['explain', ['a/b']],
  ['dump', []],
  ['diff', []],
] as const)('%s says what to do when no proxy runs', async (command, argv) => {
  const commands = { explain: explainCommand, dump: dumpCommand, diff: diffCommand }
  await expect(commands[command]([...argv, '--explain-socket=/nowhere/x.sock'])).rejects.toThrow(
    /no Fairlead answers there; start it/,
  )
})
