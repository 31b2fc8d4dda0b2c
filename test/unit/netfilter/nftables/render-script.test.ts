import { atOnce } from '../../../../src/collections/sliced.ts'
import { ScriptRenderer } from '../../../../src/netfilter/nftables/render-script.ts'
import { aChain, aContainer, anElement, commentOf } from '../../../../src/netfilter/nftables/ruleset.ts'

function render(write: (script: ScriptRenderer) => void): string {
  const script = new ScriptRenderer({ family: 'ip6', name: 'kube-proxy' })
  write(script)
  return script.toString()
}

test('ScriptRenderer writes tables, containers and chains as nft takes them', () => {
  const map = aContainer('m', 'map { type ipv6_addr : verdict; }')
  const rule = { text: 'jump services', note: 'Services' }
  const base = aChain('nat-output', [rule], { type: 'nat', hook: 'output', priority: -100 })
  const text = render((script) => {
    script.addTable()
    script.addContainer(map)
    script.addChain(base)
    script.addChain(aChain('services', []))
    script.flushChain(base)
    script.addRules(base)
    script.deleteContainer(map)
    script.deleteChain(base)
    script.deleteTable()
  })
  expect(text).toBe(
    [
      'add table ip6 kube-proxy',
      'add map ip6 kube-proxy m { type ipv6_addr : verdict; }',
      'add chain ip6 kube-proxy nat-output { type nat hook output priority -100; }',
      'add chain ip6 kube-proxy services',
      'flush chain ip6 kube-proxy nat-output',
      `add rule ip6 kube-proxy nat-output jump services comment "${commentOf(rule)}"`,
      'delete map ip6 kube-proxy m',
      'delete chain ip6 kube-proxy nat-output',
      'delete table ip6 kube-proxy',
      '',
    ].join('\n'),
  )
})

test('ScriptRenderer groups elements by container and leaves values out of deletions', () => {
  const elements = [
    anElement('m', 'fd00::1', 'drop'),
    anElement('s', 'fd00::2'),
    anElement('m', 'fd00::3', 'accept'),
  ]
  expect(render((script) => atOnce(script.addElements(elements)))).toBe(
    'add element ip6 kube-proxy m { fd00::1 : drop, fd00::3 : accept }\nadd element ip6 kube-proxy s { fd00::2 }\n',
  )
  expect(render((script) => atOnce(script.deleteElements(elements)))).toBe(
    'delete element ip6 kube-proxy m { fd00::1, fd00::3 }\ndelete element ip6 kube-proxy s { fd00::2 }\n',
  )
})

test('ScriptRenderer divides many elements into several commands and loses none', () => {
  const elements = Array.from({ length: 1001 }, (_, i) => anElement('s', `fd00::${(i + 1).toString(16)}`))
  const text = render((script) => atOnce(script.addElements(elements)))
  expect(text.split('\n').length).toBeGreaterThan(2)
  expect(text.match(/fd00::/g)?.length).toBe(1001)
  expect(render(() => undefined)).toBe('')
})
