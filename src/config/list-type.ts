/** Kinds of values that hold several things: networks, names, addresses, feature gates. See `value-type.ts`. */
import { type Cidr, parseCidr } from '../net/cidr.ts'
import { type Ip, parseIp } from '../net/ip.ts'
import { FEATURE_GATES } from './feature-gates.ts'
import { Unusable, type ValueType, cidrRemedy } from './value-type.ts'

export interface ListRules<T> {
  readonly name: string
  /** Reads one item. */
  readonly item: (text: string) => T | Unusable
  /** Judges the whole list. */
  readonly whole?: (items: readonly T[]) => string | undefined
  /** How files hold it: a YAML list, or one text with commas. Both are read. */
  readonly written?: 'list' | 'commas'
  /** A flag that is repeated adds to the list; without this the last one counts. */
  readonly repeatable?: boolean
}

/** A list of texts, each one item; blanks around items and empty items mean nothing. */
export function listOf<T extends string>(rules: ListRules<T>): ValueType<readonly T[]> {
  const read = (texts: readonly string[]): readonly T[] | Unusable => {
    const items: T[] = []
    for (const text of texts.map((item) => item.trim()).filter((item) => item !== '')) {
      const item = rules.item(text)
      if (item instanceof Unusable)
        return texts.length > 1 ? new Unusable(`"${text}" is ${item.reason}`) : item
      items.push(item)
    }
    const wrong = rules.whole?.(items)
    return wrong === undefined ? items : new Unusable(wrong)
  }
  const type: ValueType<readonly T[]> = {
    name: rules.name,
    parse: (text) => read(text.split(',')),
    decode: (value) => {
      if (typeof value === 'string') return read(value.split(','))
      if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return read(value)
      return new Unusable('not a list of texts; write each item in quotes on its own line after "- "')
    },
    encode: (items) => (rules.written === 'commas' ? items.join(',') : items),
  }
  if (rules.repeatable !== true) return type
  return { ...type, join: (earlier, later) => [...earlier, ...later] }
}

function readCidr(text: string): Cidr | Unusable {
  return parseCidr(text) ?? cidrRemedy(text)
}

export const cidrList = listOf<Cidr>({ name: 'CIDRs', item: readCidr, repeatable: true })

function onePerFamily(items: readonly string[]): string | undefined {
  const v6 = items.filter((item) => item.includes(':')).length
  return v6 > 1 || items.length - v6 > 1
    ? 'more than one of a family; name at most one for IPv4 and one for IPv6'
    : undefined
}

/** At most one network per family, as one text: `clusterCIDR`. */
export const clusterCidrs = listOf<Cidr>({
  name: 'CIDRs',
  item: readCidr,
  written: 'commas',
  whole: onePerFamily,
})

/** At most one address per family. */
export const nodeIps = listOf<Ip>({
  name: 'IPs',
  item: (text) => parseIp(text) ?? new Unusable('not an IP address; write it as 192.0.2.1 or 2001:db8::1'),
  whole: onePerFamily,
  repeatable: true,
})

/** Networks, or the single word `primary`. */
export const nodePortAddresses = listOf<Cidr | 'primary'>({
  name: 'CIDRs|primary',
  item: (text) => (text === 'primary' ? text : readCidr(text)),
  whole: (items) =>
    items.length > 1 && items.includes('primary')
      ? '"primary" beside networks; write primary alone or networks only'
      : undefined,
  repeatable: true,
})

/** Names that the kernel accepts for a network device, or their beginnings. */
export const interfaceNames = listOf<string>({
  name: 'names',
  item: (text) =>
    INTERFACE_NAME.test(text)
      ? text
      : new Unusable('not an interface name; write at most 15 letters, digits, ".", "_" or "-"'),
  written: 'commas',
})

export const INTERFACE_NAME = /^(?!\.{1,2}$)[A-Za-z0-9._@-]{1,15}$/

/** URLs of API servers; `https://` may be left out. */
export const serverUrls = listOf<string>({
  name: 'URLs',
  item: (text) => {
    const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `https://${text}`)
    const usable = url !== null && /^https?:$/.test(url.protocol) && url.hostname !== ''
    if (!usable) return new Unusable('not a server address; write it as https://192.0.2.1:6443')
    if (url.username !== '' || url.password !== '')
      return new Unusable('a server address with a password; put credentials into the kubeconfig')
    return url.href.replace(/\/$/, '')
  },
  repeatable: true,
})

/** klog's per-file verbosity, kept as `pattern=level`; files hold it as objects. */
export const vmodule: ValueType<readonly string[]> = {
  ...listOf<string>({
    name: 'pattern=N,…',
    item: (text) => (/^[^=,]+=\d+$/.test(text) ? text : new Unusable('not a pattern; write it as proxy*=4')),
    repeatable: true,
  }),
  decode: (value) => {
    if (!Array.isArray(value)) return new Unusable('not a list; write items with filePattern and verbosity')
    const items: string[] = []
    for (const item of value as unknown[]) {
      const { filePattern, verbosity } = (item ?? {}) as { filePattern?: unknown; verbosity?: unknown }
      if (typeof filePattern !== 'string' || !/^[^=,]+$/.test(filePattern) || !Number.isInteger(verbosity))
        return new Unusable('not complete; write filePattern: proxy* and verbosity: 4, without = and ,')
      items.push(`${filePattern}=${String(verbosity)}`)
    }
    return items
  },
  encode: (items) =>
    items.map((item) => {
      const [filePattern, verbosity] = item.split('=')
      return { filePattern, verbosity: Number(verbosity) }
    }),
}

type Gates = Readonly<Record<string, boolean>>

function readGates(entries: readonly (readonly [string, unknown])[]): Gates | Unusable {
  const gates: Record<string, boolean> = {}
  for (const [name, value] of entries) {
    const gate = Object.hasOwn(FEATURE_GATES, name) ? FEATURE_GATES[name] : undefined
    if (gate === undefined)
      return new Unusable(`unknown feature gate ${JSON.stringify(name)}; remove it or correct its name`)
    if (typeof value !== 'boolean') return new Unusable(`gate ${name} is not a bool; write true or false`)
    if (gate.locked && value !== gate.default)
      return new Unusable(`gate ${name} is locked to ${gate.default}; remove it`)
    gates[name] = value
  }
  return gates
}

/** Feature gates: `A=true,B=false`, or a map in a file. */
export const featureGates: ValueType<Gates> = {
  name: 'gate=bool,…',
  parse: (text) =>
    readGates(
      text
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '')
        .map((item) => {
          const [name = '', value = ''] = item.split('=')
          return [name.trim(), { true: true, false: false }[value.trim().toLowerCase()]] as const
        }),
    ),
  decode: (value) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? readGates(Object.entries(value))
      : new Unusable('not a map; write lines such as AllowServiceExternalIPs: true'),
  encode: (gates) => gates,
  join: (earlier, later) => ({ ...earlier, ...later }),
}
