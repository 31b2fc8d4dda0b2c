import { parse as parseYaml, stringify } from 'yaml'
import { resolveConfig } from '../../../src/config/resolve-config.ts'
import type { Setting } from '../../../src/config/setting.ts'
import {
  type FileVersion,
  type SettingName,
  SETTING_ROWS,
  defaultOf,
  fieldOf,
} from '../../../src/config/settings.ts'
import { EXAMPLES } from './setting-examples.ts'

const VERSIONS: readonly FileVersion[] = ['v1alpha1', 'v1alpha2']

function fileWith(version: FileVersion, path?: string, value?: unknown): string {
  const tree: Record<string, unknown> = {
    apiVersion: `kubeproxy.config.k8s.io/${version}`,
    kind: 'KubeProxyConfiguration',
  }
  if (path === undefined) return stringify(tree)
  let section = tree
  const keys = path.split('.')
  for (const key of keys.slice(0, -1)) section = section[key] = {} as Record<string, unknown>
  section[keys.at(-1)!] = value
  return stringify(tree)
}

function valuesOf(argv: readonly string[], file?: string): Record<string, unknown> {
  const resolution = resolveConfig(argv, { readFile: () => file ?? '' })
  if ('values' in resolution) return resolution.values
  throw new Error(JSON.stringify(resolution, (_, value) => (value instanceof Error ? value.message : value)))
}

function errorsOf(argv: readonly string[], file?: string): string[] {
  const resolution = resolveConfig(argv, { readFile: () => file ?? '' })
  return resolution.action === 'invalid' ? resolution.errors.map((error) => error.message) : []
}

type Case = readonly [shown: string, name: SettingName, row: Setting<unknown>]

const flags: Case[] = SETTING_ROWS.flatMap(([name, row]) =>
  [row.flag, ...(row.aliases ?? [])].flatMap((flag) =>
    flag === undefined || flag === 'config' ? [] : [[flag, name, row] as const],
  ),
)

describe.each(flags)('flag --%s', (flag, name) => {
  const example = EXAMPLES[name]
  const extra = example.with ?? []

  test('is taken with = and with a space, with _ for -', () => {
    const [text, want] = example.flag!
    if (name === 'writeConfigTo') {
      expect(resolveConfig([`--${flag}=${text}`])).toMatchObject({ action: 'write-config', path: want })
      return
    }
    expect(valuesOf([`--${flag}=${text}`])[name]).toEqual(want)
    expect(valuesOf([`--${flag.replaceAll('-', '_')}=${text}`])[name]).toEqual(want)
    if (typeof want === 'boolean') expect(valuesOf([`--${flag}`])[name]).toBe(true)
    else expect(valuesOf([`--${flag}`, text])[name]).toEqual(want)
  })

  test('is refused in one line with its text and the remedy', () => {
    if (example.badFlag === undefined) {
      // Everything is allowed: then nothing may be refused, whatever it contains.
      expect(errorsOf([`--${flag}=%$ "x"`])).toEqual([])
      return
    }
    const [text, reason] = example.badFlag
    const errors = errorsOf([...extra, `--${flag}=${text}`])
    expect(errors).toEqual([expect.stringContaining(`"--${flag}=`)])
    expect(errors[0]).toContain(reason)
    expect(errors[0]).not.toContain('\n')
  })
})

describe.each(VERSIONS)('file of version %s', (version) => {
  const fields = SETTING_ROWS.flatMap(([name, row]) => {
    const field = fieldOf(row, version)
    return field === undefined ? [] : [[field, name, row] as const]
  })

  test.each(fields)('field %s sets %s', (field, name) => {
    const [raw, want] = EXAMPLES[name].field!
    expect(valuesOf(['--config=f'], fileWith(version, field, raw))[name]).toEqual(want)
  })

  test.each(fields)(
    'field %s may be absent, null or (unless it counts) zero: %s has its default',
    (field, name, row) => {
      const want = defaultOf(row, version)
      const zeros = row.zeroCounts === true ? [] : ['', row.type.name === 'duration' ? '0s' : '']
      for (const raw of [undefined, null, ...zeros])
        expect(
          valuesOf(['--config=f'], fileWith(version, raw === undefined ? undefined : field, raw))[name],
        ).toEqual(name === 'configFile' ? 'f' : want)
    },
  )

  test.each(fields.filter(([, name]) => EXAMPLES[name].badField !== undefined))(
    'field %s (%s) is refused with its path, value and remedy',
    (field, name, row) => {
      const [raw, reason] = EXAMPLES[name].badField!
      const mode = row.onlyIn === 'ipvs' || row.onlyIn === 'nftables' ? { mode: row.onlyIn } : {}
      const file = stringify({ ...mode, ...(parseYaml(fileWith(version, field, raw)) as object) })
      const errors = errorsOf(['--config=f'], file)
      expect(errors).toHaveLength(1)
      expect(errors[0]).toContain(`Cannot use "${field}: `)
      expect(errors[0]).toContain(reason)
      expect(errors[0]).toContain('in f')
    },
  )
})
