/** Reads `ipset save`: sets with their shape, and their elements in our spelling. */
import { parseIp } from '../../net/ip.ts'
import { type IpSet, type SetElement, ipSetAs, setElement } from './ipset.ts'

/** Sets and elements of the sets whose names are wanted, in the order of the text. */
export function parseSets(
  text: string,
  isWanted: (name: string) => boolean,
): readonly (IpSet | SetElement)[] {
  const found: (IpSet | SetElement)[] = []
  for (const line of text.split('\n')) {
    // A large cluster has ten thousands of lines, and most are of sets that are not wanted.
    const nameAt = line.indexOf(' ') + 1
    if (!isWanted(line.slice(nameAt, endOfWord(line, nameAt)))) continue
    const [verb, name = '', ...rest] = line.split(' ')
    if (verb === 'create') found.push(ipSetAs(name, shapeOf(rest)))
    if (verb === 'add') found.push(setElement(name, canonical(rest[0] ?? ''), rest.slice(1).join(' ')))
  }
  return found
}

function endOfWord(line: string, from: number): number {
  const blank = line.indexOf(' ', from)
  return blank < 0 ? line.length : blank
}

/** Options that ipset prints but that say nothing about what a set can hold. */
const INCIDENTAL = new Set(['hashsize', 'bucketsize', 'initval'])

function shapeOf(words: readonly string[]): string {
  const kept: string[] = []
  for (let i = 0; i < words.length; i++)
    if (INCIDENTAL.has(words[i] ?? '')) i++
    else kept.push(words[i] ?? '')
  return kept.join(' ')
}

/** IPv6 addresses have several spellings; the C library's is not always RFC 5952's. */
function canonical(element: string): string {
  if (!element.includes('::') && !/(?:[0-9a-f]*:){2}/.test(element)) return element
  const parts = element.split(',').map((part) => {
    const [address = '', length] = part.split('/')
    const ip = parseIp(address)
    if (ip === undefined) return part
    return length === undefined ? ip : `${ip}/${length}`
  })
  return parts.join(',')
}
