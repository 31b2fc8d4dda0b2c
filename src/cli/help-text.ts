/** What `--help` prints, from the table of settings. Pure text. */
import { SETTING_GROUPS, type Setting, type SettingGroup } from '../config/setting.ts'
import { SETTING_ROWS } from '../config/settings.ts'

const HEAD = `Fairlead is a service proxy for Kubernetes: it makes Services work on this node, in place of kube-proxy.

Usage:
  fairlead [flags]                     run the proxy
  fairlead explain SERVICE|IP:PORT     why a connection goes where it goes
  fairlead dump | diff                 what is wanted and programmed; where they differ
  fairlead doctor                      check this node
  fairlead completion bash|zsh|fish    print a script that completes commands and flags

Examples:
  fairlead --config=/var/lib/kube-proxy/config.conf --hostname-override=$(NODE_NAME)
  fairlead --mode=nftables --kubeconfig=/etc/kubernetes/proxy.conf --cluster-cidr=10.244.0.0/16
  fairlead --mode=ipvs --ipvs-scheduler=lc --config-hard-fail
  fairlead --config=old.conf --write-config-to=complete.conf
  fairlead --cleanup
`

const TAIL = `Other:
  -h, --help                 Print this text and exit.
      --version              Print the version and exit; --version=raw prints all its parts.

Flags may be written with _ for -. With --config, the file replaces all flags that are not marked with *.
`

const WIDTH = 100
const INDENT = 27

export function helpText(): string {
  const groups = SETTING_GROUPS.map((group) => groupText(group)).filter((text) => text !== '')
  return [HEAD, ...groups, TAIL].join('\n')
}

function groupText(group: SettingGroup): string {
  const rows = SETTING_ROWS.map(([, row]) => row).filter(
    (row) => row.group === group && row.flag !== undefined,
  )
  return rows.length === 0 ? '' : `${group}:\n${rows.map(flagText).join('')}`
}

function flagText(row: Setting<unknown>): string {
  const type = row.type.name === 'bool' ? '' : ` ${row.type.name}`
  const names = [row.flag ?? '', ...(row.aliases ?? [])].filter((name) => name !== row.short)
  const long = names.map((name) => `--${name}`).join(', ')
  const short = row.short === undefined ? '    ' : `-${row.short}${long === '' ? '' : ','} `
  const head = `  ${short}${long}${type}`
  const marked = row.beatsFile === true ? '* ' : ''
  const shown = defaultText(row)
  const words = `${marked}${row.help}${shown === '' ? '' : ` (default ${shown})`}`.split(' ')
  const lines = wrapped(words, WIDTH - INDENT).map((line) => ' '.repeat(INDENT) + line)
  const fits = head.length < INDENT
  return `${fits ? head + (lines[0] ?? '').slice(head.length) : [head, lines[0]].join('\n')}\n${lines
    .slice(1)
    .map((line) => `${line}\n`)
    .join('')}`
}

/** The default as an operator would write it; empty for "none", `false` and the like. */
export function defaultText(row: Setting<unknown>): string {
  if (row.shownDefault !== undefined) return row.shownDefault
  const value = row.type.encode(row.default)
  if (Array.isArray(value)) return value.join(',')
  if (typeof value === 'number' || value === true) return String(value)
  return typeof value === 'string' ? value : ''
}

function wrapped(words: readonly string[], width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of words) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
