import { spawnSync } from 'node:child_process'
import { readCommandLine } from '../../../src/cli/command-line.ts'
import { QUERY_COMMANDS, type QueryCommand } from '../../../src/cli/query-commands.ts'
import { settingsMarkdown } from '../../../src/cli/settings-markdown.ts'
import { SETTING_ROWS } from '../../../src/config/settings.ts'

function printed(...argv: string[]): string {
  const command = readCommandLine(argv)
  return command.action === 'print' ? command.text : JSON.stringify(command)
}

const FLAGS = SETTING_ROWS.flatMap(([, row]) => [row.flag, ...(row.aliases ?? [])]).filter(
  (flag) => flag !== undefined,
)

/** The lines of one subcommand; those of a shell in which they can be told apart. */
function fish(name: string): readonly string[] {
  return printed('completion', 'fish')
    .split('\n')
    .filter((line) => line.includes(`'__fish_seen_subcommand_from ${name}'`))
}

describe('readCommandLine()', () => {
  test('prints a help text with every flag, its meaning and examples, at most 100 columns wide', () => {
    const help = printed('--help')
    for (const flag of FLAGS) expect(help).toMatch(new RegExp(`(--${flag}|-${flag})[ ,\n]`))
    for (const [, row] of SETTING_ROWS.filter(([, { flag }]) => flag !== undefined))
      expect(help.replace(/\s+/g, ' ')).toContain(row.help)
    expect(help).toContain('Examples:')
    expect(help.split('\n').filter((line) => line.length > 106)).toEqual([])
  })

  test('prints the version', () => {
    expect(printed('--version')).toMatch(/^Fairlead v\d+\.\d+\.\d+\n$/)
    expect(printed('--version=v9.9.9')).toBe('Fairlead v9.9.9\n')
    expect(JSON.parse(printed('--version=raw'))).toMatchObject({
      number: expect.stringMatching(/^\d/),
      runtime: process.version,
    })
  })

  test.each(['bash', 'zsh', 'fish'])('prints a completion script for %s with every flag', (shell) => {
    const script = printed('completion', shell)
    for (const flag of FLAGS) expect(script).toContain(shell === 'fish' ? `-l ${flag} ` : `--${flag}`)
  })

  test.each(Object.entries(QUERY_COMMANDS))('prints completions with the flags of %s', (name, command) => {
    const { flags, words }: QueryCommand = command
    for (const { name: flag, values } of flags) {
      const found = fish(name).find((line) => line.includes(`-l ${flag} `))
      expect(found).toContain(values === 'file' ? '-F' : values.join(' '))
    }
    expect(printed('completion', 'zsh')).toContain(`'1: :(${name})'`)
    if (words.length > 0) expect(fish(name)[0]).toContain(`-a '${words.join(' ')}'`)
  })

  test.each([
    ['fairlead --mode ip', 'iptables ipvs'],
    ['fairlead --ipvs-sch', '--ipvs-scheduler'],
    ['fairlead doc', 'doctor'],
    ['fairlead explain --fro', '--from'],
    ['fairlead explain web --protocol ', 'TCP UDP SCTP'],
    ['fairlead explain web --protocol = U', 'UDP'],
    ['fairlead explain web --mode = nf', 'nftables'],
    ['fairlead dump ', 'forwarding plan endpoints rejections'],
    ['fairlead dump plan -o j', 'json'],
    ['fairlead diff --out', '--output'],
    ['fairlead doctor --prot', ''],
    ['fairlead --out', ''],
    ['fairlead explain --from ', ''],
    ['fairlead completion f', 'fish'],
  ])('prints a bash completion that completes "%s"', (line, completed) => {
    const words = line.split(' ').map((word) => `'${word}'`)
    const script = `${printed('completion', 'bash')}
COMP_WORDS=(${words.join(' ')}); COMP_CWORD=${words.length - 1}; _fairlead; echo "\${COMPREPLY[@]}"`
    const { stdout, stderr } = spawnSync('bash', ['--norc'], { input: script, encoding: 'utf8' })
    expect({ stdout, stderr }).toEqual({ stdout: `${completed}\n`, stderr: '' })
  })

  test('refuses an unknown shell', () => {
    expect(readCommandLine(['completion', 'tcsh'])).toMatchObject({
      action: 'invalid',
      errors: [{ message: expect.stringContaining('write one of bash, zsh, fish') }],
    })
  })

  test('leaves everything else to the configuration', () => {
    expect(readCommandLine(['--mode=ipvs'])).toMatchObject({ action: 'run', config: { mode: 'ipvs' } })
  })
})

describe('settingsMarkdown()', () => {
  const document = settingsMarkdown()

  test.each(SETTING_ROWS)('has a row for %s', (_, row) => {
    expect(document).toContain(row.flag === undefined ? `\`${row.field!}\`` : `${row.flag}\``)
  })

  test('has as many cells in every row as its head', () => {
    const rows = document.split('\n').filter((line) => line.startsWith('|'))
    expect(new Set(rows.map((row) => row.replaceAll('\\|', '').split('|').length))).toEqual(new Set([9]))
  })
})
