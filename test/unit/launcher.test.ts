/** bin/fairlead, with a Node that only says how it was started. */
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

let root: string

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'fairlead-launcher-'))
  for (const folder of ['bin', 'dist', 'node_modules/node/bin'])
    mkdirSync(join(root, folder), { recursive: true })
  cpSync(resolve(import.meta.dirname, '../../bin/fairlead'), join(root, 'bin/fairlead'))
  writeFileSync(join(root, 'dist/main.js'), '')
  const node = join(root, 'node_modules/node/bin/node')
  writeFileSync(node, '#!/bin/sh\nif [ "$1" = --version ]; then echo v24.0.0; else ulimit -S -s; fi\n')
  chmodSync(node, 0o755)
})
afterAll(() => rmSync(root, { recursive: true }))

test.each([
  { limits: 'ulimit -S -s 8192', want: '65536' },
  { limits: 'ulimit -S -s 131072', want: '131072' },
  { limits: 'ulimit -S -s 4096; ulimit -H -s 4096', want: '4096' },
])(
  'the programs it runs have enough stack for large rule sets, where it may be: $limits',
  ({ limits, want }) => {
    const script = `${limits}; exec "$0" --version-of-nothing`
    const { stdout, stderr, status } = spawnSync('sh', ['-c', script, join(root, 'bin/fairlead')], {
      encoding: 'utf8',
    })
    expect({ stdout, stderr, status }).toEqual({ stdout: `${want}\n`, stderr: '', status: 0 })
  },
)
