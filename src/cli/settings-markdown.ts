/** The table of all settings for docs/operations.md, so that the document cannot disagree with the program. Pure. */
import { SETTING_GROUPS, type Setting } from '../config/setting.ts'
import { SETTING_ROWS } from '../config/settings.ts'
import { defaultText } from './help-text.ts'

const CHANGE = { live: 'at once', restart: 'at the next start', none: 'no effect' } as const

/** One section with one table per group of settings. */
export function settingsMarkdown(): string {
  const sections = SETTING_GROUPS.map((group) => {
    const rows = SETTING_ROWS.map(([, row]) => row).filter((row) => row.group === group)
    const head = '| flag | field (v1alpha1) | v1alpha2 | type | default | a change counts | meaning |'
    return [`### ${group}`, '', head, '|---|---|---|---|---|---|---|', ...rows.map(line)].join('\n')
  })
  return `${sections.join('\n\n')}\n`
}

function line(row: Setting<unknown>): string {
  const flags = [row.flag, ...(row.aliases ?? [])].flatMap((flag) =>
    flag === undefined ? [] : [code(flag === row.short ? `-${flag}` : `--${flag}`)],
  )
  const kubeProxy = row.kubeProxyDefault === undefined ? '' : ` (kube-proxy: ${code(row.kubeProxyDefault)})`
  const cells = [
    flags.join(', ') + (row.beatsFile === true && row.field !== undefined ? ' \\*' : ''),
    row.field === undefined ? '' : code(row.field),
    differenceInV1Alpha2(row),
    row.type.name,
    (defaultText(row) === '' ? '' : code(defaultText(row))) + kubeProxy,
    CHANGE[row.change],
    row.note === undefined
      ? row.help
      : `${row.help} ${row.note[0]?.toUpperCase() ?? ''}${row.note.slice(1)}.`,
  ]
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

function differenceInV1Alpha2({ v1alpha2 }: Setting<unknown>): string {
  const parts: string[] = []
  if (v1alpha2?.field === null) parts.push('dropped')
  else if (v1alpha2?.field !== undefined) parts.push(code(v1alpha2.field))
  if (typeof v1alpha2?.default === 'boolean') parts.push(`default ${code(String(v1alpha2.default))}`)
  return parts.join(', ')
}

function code(text: string): string {
  return `\`${text}\``
}
