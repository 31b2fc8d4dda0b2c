import { atOnce } from '../../../../src/collections/sliced.ts'
import { chain, sharedChain, sharedRule } from '../../../../src/netfilter/iptables/chain.ts'
import { type RestoreBlock, renderRestore } from '../../../../src/netfilter/iptables/render-restore.ts'

const NOTHING: RestoreBlock = {
  table: 'nat',
  madeToExist: [],
  written: [],
  appended: [],
  deletedRules: [],
  insertedRules: [],
  removed: [],
}

test('renderRestore() of blocks without content is empty', () => {
  expect(atOnce(renderRestore([NOTHING, { ...NOTHING, table: 'filter' }]))).toBe('')
})

test('renderRestore() declares before it refers and deletes last', () => {
  const text = atOnce(
    renderRestore([
      {
        ...NOTHING,
        madeToExist: [sharedChain('nat', 'SHARED')],
        written: [
          chain('nat', 'A', { label: 'a', rules: ['-j B'] }),
          chain('nat', 'B', { label: 'b', rules: [] }),
        ],
        appended: [{ name: 'C', rules: ['-j A'] }],
        deletedRules: [sharedRule('nat', 'OUTPUT', '-j OLD')],
        insertedRules: [sharedRule('nat', 'OUTPUT', '-j A'), sharedRule('nat', 'OUTPUT', '-j B')],
        removed: [{ ...chain('nat', 'OLD', { label: '', rules: [] }), rules: undefined }],
      },
    ]),
  )
  expect(text.replace(/#[0-9a-f]{16}/, '#digest')).toBe(`*nat
-N SHARED
:OLD - [0:0]
:B - [0:0]
:A - [0:0]
-D OUTPUT -j OLD
-A A -m comment --comment "a #digest" -j B
-A C -j A
-I OUTPUT 1 -j B
-I OUTPUT 1 -j A
-X OLD
COMMIT
`)
})
