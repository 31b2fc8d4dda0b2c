/** The bench as a whole, at its smallest: Fairlead and its peers are measured, and a peer that does something else is not. */
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Report } from '../../bench/results.ts'
import { describeKernel } from '../support/skip-reasons.ts'

const ROOT = join(import.meta.dirname, '../..')
const TIMEOUT_MS = 180_000

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-test-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Fairlead itself, with more flags: nothing of the host is to be touched. */
function aPeer(name: string, ...flags: readonly string[]): string[] {
  const path = join(folder, name)
  const all = ['--state-dir=', '--explain-socket=', ...flags].join(' ')
  writeFileSync(path, `#!/bin/sh\nexec ${ROOT}/bin/fairlead "$@" ${all}\n`)
  chmodSync(path, 0o755)
  return ['--peer', `${name}=${path}`]
}

describeKernel('npm run bench', ['namespaces', 'nft', 'conntrack'], () => {
  test(
    'measures what was asked for, and no peer in another mode than it was told',
    async () => {
      const args = ['--quick', '--scenario', '100x5', '--mode', 'nftables', '--no-floor', '--out', folder]
      const peers = [...aPeer('twin'), ...aPeer('stubborn', '--proxy-mode=iptables')]
      const command = ['--disable-warning=ExperimentalWarning', 'bench/main.ts', ...args, ...peers]
      const { stdout } = await promisify(execFile)(process.execPath, command, {
        cwd: ROOT,
        timeout: TIMEOUT_MS,
      })
      const { results } = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as Report
      expect(results.map(({ subject, failure }) => [subject, failure])).toEqual([
        ['fairlead nftables', undefined],
        ['twin nftables', undefined],
        [
          'stubborn nftables',
          'Cannot measure nftables mode: the proxy runs in iptables mode; leave this mode out',
        ],
      ])
      for (const { start, data, change, rest } of results.slice(0, 2))
        for (const figures of [start, data, change, rest]) expect(figures).toBeDefined()
      expect(stdout).toContain('twin nftables')
      expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('stubborn nftables')
    },
    TIMEOUT_MS,
  )
})
