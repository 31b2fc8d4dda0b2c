import {
  chain,
  chainText,
  digestIn,
  safeLabel,
  sharedRule,
} from '../../../../src/netfilter/iptables/chain.ts'

test('chain() marks its first rule with a label and a digest', () => {
  const made = chain('nat', 'FL-X', { label: 'ns/web', rules: ['-j A', '-j B'] })
  expect(made.rules).toEqual([
    expect.stringMatching(/^-m comment --comment "ns\/web #[0-9a-f]{16}" -j A$/),
    '-j B',
  ])
  expect(made.key).toBe('nat/FL-X')
})

test('chain() has another text whenever label or rules differ', () => {
  const texts = [
    chain('nat', 'X', { label: 'a', rules: ['-j A', '-j B'] }),
    chain('nat', 'X', { label: 'b', rules: ['-j A', '-j B'] }),
    chain('nat', 'X', { label: 'a', rules: ['-j B', '-j A'] }),
    chain('nat', 'X', { label: 'a', rules: ['-j A'] }),
    chain('nat', 'X', { label: 'a', rules: [] }),
  ].map(({ text }) => text)
  expect(new Set(texts).size).toBe(texts.length)
})

test('chain() without rules is told as empty', () => {
  expect(chain('nat', 'X', { label: 'a', rules: [] })).toMatchObject({ text: 'empty', rules: [] })
})

test('digestIn() finds the digest that chain() wrote', () => {
  const made = chain('nat', 'X', { label: 'ns/web', rules: ['-j A'] })
  expect(chainText(digestIn(`-A X ${made.rules?.[0] ?? ''}`), 1)).toBe(made.text)
})

test.each([
  ['-A X -j A', undefined],
  ['-A X -m comment --comment oneword -j A', undefined],
  ['-A X -m comment --comment "no digest" -j A', undefined],
  ['-A X -m comment --comment "short #0123" -j A', undefined],
  ['-A X -m comment --comment "ns/web #0123456789abcdef" -j A', '0123456789abcdef'],
])('digestIn(%j) is %j', (line, want) => {
  expect(digestIn(line)).toBe(want)
})

test.each([
  ['a rule that somebody added', 3, 'abc 3'],
  ['a chain that is not ours', 2, 'unmarked 2'],
])('chainText() tells %s', (_what, rules, want) => {
  expect(chainText(want.startsWith('abc') ? 'abc' : undefined, rules)).toBe(want)
})

test.each([
  ['ns/web:http/TCP', 'ns/web:http/TCP'],
  ['a"b\\c`d$e', 'a?b?c?d?e'],
  ['two\nlines\0', 'two?lines?'],
  ['#0123456789abcdef', '?0123456789abcdef'],
  ['é', '?'],
])('safeLabel(%j) is %j', (text, want) => {
  expect(safeLabel(text)).toBe(want)
})

test('safeLabel() leaves room for the digest in the 255 characters of a comment', () => {
  expect(safeLabel('x'.repeat(500))).toHaveLength(220)
})

test('sharedRule() of two chains have two keys', () => {
  expect(sharedRule('nat', 'OUTPUT', '-j X').key).not.toBe(sharedRule('nat', 'PREROUTING', '-j X').key)
})
