/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util'
import { quickly, type Scenario, SCENARIOS } from './scenarios.ts'
import { type Mode, MODES, parsePeer, type Peer } from './subjects.ts'

export const USAGE = `Usage: npm run bench -- [options]     (as root)

  --quick              few sizes, few repetitions: ends in about 3 minutes
  --scenario NAME      only this one; repeatable (${SCENARIOS.map(({ name }) => name).join(', ')})
  --mode MODE          only this one; repeatable (${MODES.join(', ')})
  --peer NAME=PATH     also measure this binary, which takes kube-proxy's flags; repeatable
  --out DIRECTORY      where report.html and report.json go (default bench/out)
  --json FILE          write the figures to this file, too
  --no-floor           leave out the plain tools and kube-proxy's layouts
  --keep-logs          copy the proxies' logs beside the report
  --help               this text
`

export interface Options {
  readonly quick: boolean
  readonly scenarios: readonly Scenario[]
  /** Those that were asked for; empty: all that this machine's kernel has. */
  readonly modes: readonly Mode[]
  readonly peers: readonly Peer[]
  readonly out: string
  readonly json: string | undefined
  readonly floor: boolean
  readonly keepLogs: boolean
  readonly help: boolean
}

/** Throws with one line that names what is wrong. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      scenario: { type: 'string', multiple: true, default: [] },
      mode: { type: 'string', multiple: true, default: [] },
      peer: { type: 'string', multiple: true, default: [] },
      out: { type: 'string', default: 'bench/out' },
      json: { type: 'string' },
      'no-floor': { type: 'boolean', default: false },
      'keep-logs': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  return {
    quick: values.quick,
    scenarios: chosenScenarios(values.scenario, values.quick),
    modes: values.mode.map(modeNamed),
    peers: values.peer.map(parsePeer),
    out: values.out,
    json: values.json,
    floor: !values['no-floor'],
    keepLogs: values['keep-logs'],
    help: values.help,
  }
}

function chosenScenarios(names: readonly string[], quick: boolean): Scenario[] {
  const named = names.map((name) => {
    const found = SCENARIOS.find((scenario) => scenario.name === name)
    if (found !== undefined) return found
    const all = SCENARIOS.map((scenario) => scenario.name).join(', ')
    throw new Error(`Cannot run the scenario "${name}": there is none; choose from ${all}`)
  })
  const chosen = named.length > 0 ? named : SCENARIOS.filter((scenario) => !quick || scenario.quick)
  return quick ? chosen.map(quickly) : chosen
}

function modeNamed(name: string): Mode {
  const found = MODES.find((mode) => mode === name)
  if (found !== undefined) return found
  throw new Error(`Cannot measure the mode "${name}": there is none; choose from ${MODES.join(', ')}`)
}
