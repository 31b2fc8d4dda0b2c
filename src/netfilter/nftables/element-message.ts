/**
 * `add element` and `delete element` as messages for the kernel (linux/netfilter/nf_tables.h), for sets and maps whose
 * elements are single values: addresses, protocols, ports and drawn numbers, one after the other. Everything else stays
 * with the program `nft`.
 */
import { ipBytes, parseIp } from '../../net/ip.ts'
import { attribute, join, nested, networkU16, networkU32, text, u32 } from '../netlink-attribute.ts'
import type { ContainerObject } from './ruleset.ts'

/** Of the messages that begin and end a transaction: nftables among the parts of netfilter. */
export const NFTABLES_SUBSYSTEM = 10
const COMMANDS = {
  // "Create" without "exclusively": an element that is there already is no mistake.
  add: { number: (NFTABLES_SUBSYSTEM << 8) | 12, flags: 0x400 },
  delete: { number: (NFTABLES_SUBSYSTEM << 8) | 14, flags: 0 },
} as const
const FAMILIES = { ip: 2, ip6: 10 } as const
/** Attributes of a list of elements, of an element, of a value, and of a verdict. */
const LIST = { table: 1, set: 2, elements: 3 } as const
const ELEMENT = 1
const PART = { key: 1, data: 2 } as const
const DATA = { value: 1, verdict: 2 } as const
const VERDICT = { code: 1, chain: 2 } as const
const VERDICT_CODE = { drop: 0, goto: -4 } as const

export interface ElementMessage {
  readonly number: number
  /** Of the netlink header. */
  readonly flags: number
  /** Stands in front of the attributes, for nfnetlink. */
  readonly family: number
  readonly attributes: Uint8Array
}

/** Text to bytes; `undefined` for what is no such value. */
type Encoder = (value: string) => Uint8Array | undefined

interface ElementType {
  readonly key: Encoder
  readonly value: Encoder | undefined
}

/** Sets and maps whose elements can be written this way, by name. */
export type ElementTypes = ReadonlyMap<string, ElementType>

export function elementTypes(containers: readonly ContainerObject[]): ElementTypes {
  return new Map(
    containers.flatMap((container) => {
      const type = elementType(container)
      return type === undefined ? [] : [[container.name, type] as const]
    }),
  )
}

/** `undefined`: something in the script is not for this way. One message per command. */
export function encodeElementCommands(
  script: string,
  types: ElementTypes,
): readonly ElementMessage[] | undefined {
  const messages: ElementMessage[] = []
  for (const line of script.split('\n')) {
    if (line === '') continue
    const message = encodeCommand(line, types)
    if (message === undefined) return undefined
    messages.push(message)
  }
  return messages
}

/** Declarations without flags, size or timeout only: intervals have two ends, and others are for packets to fill. */
function elementType({ text: declaration }: ContainerObject): ElementType | undefined {
  const [, key = '', value] =
    /^(?:map|set) \{ type(?:of)? ([^:;]+?)(?: : ([^;]+))?; \}$/.exec(declaration) ?? []
  const keyEncoder = concatenation(key)
  if (keyEncoder === undefined || value === undefined)
    return keyEncoder && { key: keyEncoder, value: undefined }
  const valueEncoder = value === 'verdict' ? verdict : dataOf(concatenation(value))
  return valueEncoder && { key: keyEncoder, value: valueEncoder }
}

function encodeCommand(line: string, types: ElementTypes): ElementMessage | undefined {
  const [, verb, family, table = '', set = '', elements = ''] =
    /^(add|delete) element (ip6?) (\S+) (\S+) \{ (.+) \}$/.exec(line) ?? []
  const type = types.get(set)
  if (type === undefined) return undefined
  const encoded: Uint8Array[] = []
  for (const element of elements.split(', ')) {
    const parts = verb === 'add' ? wholeElement(element, type) : keyOnly(element, type)
    if (parts === undefined) return undefined
    encoded.push(nested(ELEMENT, parts))
  }
  return {
    ...COMMANDS[verb as 'add' | 'delete'],
    family: FAMILIES[family as 'ip' | 'ip6'],
    attributes: join([
      attribute(LIST.table, text(table)),
      attribute(LIST.set, text(set)),
      nested(LIST.elements, encoded),
    ]),
  }
}

function keyOnly(element: string, { key }: ElementType): readonly Uint8Array[] | undefined {
  const bytes = key(element)
  return bytes && [nested(PART.key, [attribute(DATA.value, bytes)])]
}

function wholeElement(element: string, type: ElementType): readonly Uint8Array[] | undefined {
  if (type.value === undefined) return keyOnly(element, type)
  const [key = '', value = ''] = element.split(' : ')
  const keyPart = keyOnly(key, type)
  const data = type.value(value)
  return keyPart && data && [...keyPart, nested(PART.data, [data])]
}

/** `goto pick-tcp-c5`, `drop` */
function verdict(value: string): Uint8Array | undefined {
  const chain = /^goto (\S+)$/.exec(value)?.[1]
  if (chain !== undefined)
    return nested(DATA.verdict, [
      attribute(VERDICT.code, networkU32(VERDICT_CODE.goto)),
      attribute(VERDICT.chain, text(chain)),
    ])
  return value === 'drop'
    ? nested(DATA.verdict, [attribute(VERDICT.code, networkU32(VERDICT_CODE.drop))])
    : undefined
}

function dataOf(encoder: Encoder | undefined): Encoder | undefined {
  if (encoder === undefined) return undefined
  return (value) => {
    const bytes = encoder(value)
    return bytes && attribute(DATA.value, bytes)
  }
}

/** `ipv4_addr . inet_proto . inet_service`: each of several fields fills up a multiple of four bytes, a single one does not. */
function concatenation(fields: string): Encoder | undefined {
  const single = FIELDS.get(fields)
  if (single !== undefined) return single
  const encoders: Encoder[] = []
  for (const field of fields.split(' . ')) {
    const encoder = FIELDS.get(field)
    if (encoder === undefined) return undefined
    encoders.push(encoder)
  }
  return (value) => {
    const texts = value.split(' . ')
    if (texts.length !== encoders.length) return undefined
    const parts: Uint8Array[] = []
    for (const [i, encode] of encoders.entries()) {
      const bytes = encode(texts[i] ?? '')
      if (bytes === undefined) return undefined
      parts.push(bytes, new Uint8Array(-bytes.length & 3))
    }
    return join(parts)
  }
}

const protocol = numberBelow(0x100, (number) => Uint8Array.of(number))
const port = numberBelow(0x10000, networkU16)

/** By the words that a declaration names them with. */
const FIELDS: ReadonlyMap<string, Encoder> = new Map([
  ['ipv4_addr', address(4)],
  ['ip daddr', address(4)],
  ['ipv6_addr', address(16)],
  ['ip6 daddr', address(16)],
  ['inet_proto', protocol],
  ['inet_service', port],
  ['tcp dport', port],
  ['udp dport', port],
  ['sctp dport', port],
  // A drawn number never was in a packet, so it is in the byte order of the machine.
  ['numgen random mod 65536', numberBelow(0x10000, u32)],
  // A handle of traffic control.
  ['classid', numberBelow(0x100000000, u32)],
])

function address(length: 4 | 16): Encoder {
  return (value) => {
    const ip = parseIp(value)
    const bytes = ip === undefined ? [] : ipBytes(ip)
    return bytes.length === length ? Uint8Array.from(bytes) : undefined
  }
}

function numberBelow(limit: number, bytes: (number: number) => Uint8Array): Encoder {
  return (value) => (/^\d+$/.test(value) && Number(value) < limit ? bytes(Number(value)) : undefined)
}
