import { LAB_FLAGS_HELP, readLabFlags } from '../../../../src/cli/lab/lab-flags.ts'
import { ConfigError } from '../../../../src/config/config-error.ts'

describe('readLabFlags()', () => {
  it('has a default for everything', () => {
    expect(readLabFlags([])).toEqual({
      mode: 'iptables',
      network: 'bridge',
      nodes: 2,
      pods: 6,
      seconds: 16,
      keep: false,
      json: undefined,
      help: false,
    })
  })

  it('reads values with and without an equals sign', () => {
    const flags = readLabFlags([
      '--mode=ipvs',
      '--network',
      'ipvlan',
      '--pods=1000',
      '--keep',
      '--json=x.json',
    ])
    expect(flags).toMatchObject({ mode: 'ipvs', network: 'ipvlan', pods: 1000, keep: true, json: 'x.json' })
  })

  test.each([
    {
      given: '--network=wlan',
      want: 'Cannot use "--network=wlan": no such choice; write one of bridge, routed, vxlan, macvlan, ipvlan, two-networks',
    },
    {
      given: '--mode=ebpf',
      want: 'Cannot use "--mode=ebpf": no such choice; write one of iptables, ipvs, nftables',
    },
    {
      given: '--nodes=51',
      want: 'Cannot use "--nodes=51": not a whole number from 1 to 50; write for example --nodes=1',
    },
    {
      given: '--pods=0',
      want: 'Cannot use "--pods=0": not a whole number from 1 to 1000; write for example --pods=1',
    },
    {
      given: '--seconds=5.5',
      want: 'Cannot use "--seconds=5.5": not a whole number from 4 to 3600; write for example --seconds=4',
    },
    { given: '--speed=9', want: `Cannot read the command line: Unknown option '--speed'; see --help` },
    {
      given: 'bridge',
      want: expect.stringMatching(/^Cannot read the command line: Unexpected argument 'bridge'/),
    },
  ])('refuses $given and says what would do', ({ given, want }) => {
    expect(() => readLabFlags([given])).toThrow(ConfigError)
    expect(() => readLabFlags([given])).toThrow(expect.objectContaining({ message: want }))
  })
})

describe('LAB_FLAGS_HELP', () => {
  it('names every choice and default', () => {
    expect(LAB_FLAGS_HELP).toMatch(/iptables, ipvs, nftables \(default iptables\)/)
    expect(LAB_FLAGS_HELP).toMatch(/bridge, routed, vxlan, macvlan, ipvlan, two-networks \(default bridge\)/)
  })
})
