import { classifyFailure } from '../../../src/kernel/classify-failure.ts'
import type { KernelErrorCode } from '../../../src/kernel/kernel-error.ts'

interface Row {
  readonly name: string
  readonly file: string
  readonly exitCode: number
  readonly stderr: string
  readonly code: KernelErrorCode
  readonly line?: number
}

const HELP = "Try `iptables-restore -h' or 'iptables-restore --help' for more information.\n"

/** Captured from iptables 1.8.9 and ipset 7.17, but for the rows called "old". */
const ROWS: readonly Row[] = [
  {
    name: 'ipvsadm, a kernel without the module',
    file: 'ipvsadm',
    exitCode: 2,
    stderr:
      "modprobe: FATAL: Module ip_vs not found in directory /lib/modules/6.18.44\nCan't initialize ipvs: Protocol not available\n",
    code: 'unsupported',
  },
  {
    name: 'legacy, a set that does not exist',
    file: 'iptables-legacy-restore',
    exitCode: 2,
    stderr: `iptables-restore v1.8.9 (legacy): Set NOPE doesn't exist.\n\nError occurred at line: 3\n${HELP}`,
    code: 'missing-object',
    line: 3,
  },
  {
    name: 'legacy, no such match',
    file: 'iptables-legacy-restore',
    exitCode: 2,
    stderr: `iptables-restore v1.8.9 (legacy): Couldn't load match \`nosuch':No such file or directory\n\nError occurred at line: 3\n${HELP}`,
    code: 'unsupported',
    line: 3,
  },
  {
    name: 'legacy, refused by the kernel at COMMIT',
    file: 'iptables-legacy-restore',
    exitCode: 1,
    stderr: 'iptables-restore: line 4 failed\n',
    code: 'rejected',
    line: 4,
  },
  {
    name: 'legacy, a chain that does not exist',
    file: 'iptables-legacy-restore',
    exitCode: 2,
    stderr: `iptables-restore v1.8.9 (legacy): Couldn't load target \`FL-Q':No such file or directory\n\nError occurred at line: 3\n${HELP}`,
    code: 'missing-object',
    line: 3,
  },
  {
    name: 'legacy, a port out of range',
    file: 'ip6tables-legacy-restore',
    exitCode: 2,
    stderr: `iptables-restore v1.8.9 (legacy): invalid port/service \`99999' specified\nError occurred at line: 4\n${HELP}`,
    code: 'rejected',
    line: 4,
  },
  {
    name: 'legacy, another user',
    file: 'iptables-legacy-restore',
    exitCode: 4,
    stderr: "Fatal: can't open lock file /run/xtables.lock: Permission denied\n",
    code: 'permission',
  },
  {
    name: 'legacy save, another user',
    file: 'iptables-legacy-save',
    exitCode: 1,
    stderr: 'iptables-save v1.8.9 (legacy): Cannot initialize: Permission denied (you must be root)\n',
    code: 'permission',
  },
  {
    name: 'legacy, the lock is held',
    file: 'iptables-legacy-restore',
    exitCode: 4,
    stderr:
      "Can't lock /run/xtables.lock: Resource temporarily unavailable\nAnother app is currently holding the xtables lock. Stopped waiting after 1s.\n",
    code: 'busy',
  },
  {
    name: 'legacy, no such chain to list',
    file: 'iptables-legacy',
    exitCode: 1,
    stderr: 'iptables: No chain/target/match by that name.\n',
    code: 'missing-object',
  },
  {
    name: 'legacy, a table that the kernel lacks',
    file: 'ip6tables-legacy',
    exitCode: 3,
    stderr:
      "ip6tables v1.8.9 (legacy): can't initialize ip6tables table `nat': Table does not exist (do you need to insmod?)\n",
    code: 'unsupported',
  },
  {
    name: 'nft, refused by the kernel',
    file: 'iptables-nft-restore',
    exitCode: 4,
    stderr:
      'iptables-nft-restore v1.8.9 (nf_tables): \nline 3: RULE_APPEND failed (Invalid argument): rule in chain FL-A\n',
    code: 'rejected',
    line: 3,
  },
  {
    name: 'nft, something is missing in the kernel',
    file: 'iptables-nft-restore',
    exitCode: 4,
    stderr:
      'iptables-nft-restore v1.8.9 (nf_tables): \nline 3: RULE_APPEND failed (No such file or directory): rule in chain FL-A\n',
    code: 'missing-object',
    line: 3,
  },
  {
    name: 'nft, a chain that is still referred to',
    file: 'iptables-nft-restore',
    exitCode: 4,
    stderr:
      'iptables-nft-restore v1.8.9 (nf_tables): \nline 3: CHAIN_DEL failed (Device or resource busy): chain KUBE-SERVICES\n',
    code: 'rejected',
    line: 3,
  },
  {
    name: 'nft, a rule to delete that is not there',
    file: 'iptables-nft-restore',
    exitCode: 1,
    stderr: 'iptables-nft-restore: line 3 failed: Bad rule (does a matching rule exist in that chain?).\n',
    code: 'missing-object',
    line: 3,
  },
  {
    name: 'nft, a chain that exists already',
    file: 'iptables-nft-restore',
    exitCode: 1,
    stderr: 'iptables-nft-restore: line 2 failed: Chain already exists.\n',
    code: 'already-exists',
    line: 2,
  },
  {
    name: 'nft, another user',
    file: 'iptables-nft-restore',
    exitCode: 4,
    stderr:
      'iptables-nft-restore v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)\n',
    code: 'permission',
  },
  {
    name: 'nft, after a warning',
    file: 'iptables-nft',
    exitCode: 1,
    stderr:
      "# Warning: iptables-legacy tables present, use iptables-legacy to see them\niptables v1.8.9 (nf_tables): chain `NOCHAIN' in table `nat' is incompatible, use 'nft' tool.\n",
    code: 'missing-object',
  },
  {
    name: 'old iptables, an option that it does not know',
    file: 'iptables-restore',
    exitCode: 2,
    stderr: 'iptables-restore v1.4.21: unknown option "--random-fully"\nError occurred at line: 7\n',
    code: 'unsupported',
    line: 7,
  },
  {
    name: 'a value that looks like another message',
    file: 'iptables-nft-restore',
    exitCode: 2,
    stderr: `iptables-nft-restore v1.8.9 (nf_tables): host/network \`Permission denied' not found\nError occurred at line: 3\n${HELP}`,
    code: 'rejected',
    line: 3,
  },
  {
    name: 'a comment that looks like another message',
    file: 'iptables-legacy-restore',
    exitCode: 2,
    stderr:
      'iptables-restore v1.8.9 (legacy): Bad argument "xtables lock: line 9 does not exist"\nError occurred at line: 3\n',
    code: 'rejected',
    line: 3,
  },
  {
    name: 'ipset, a set in use',
    file: 'ipset',
    exitCode: 1,
    stderr: 'ipset v7.17: Error in line 2: Set cannot be destroyed: it is in use by a kernel component\n',
    code: 'busy',
    line: 2,
  },
  {
    name: 'ipset, no such set',
    file: 'ipset',
    exitCode: 1,
    stderr: 'ipset v7.17: Error in line 1: The set with the given name does not exist\n',
    code: 'missing-object',
    line: 1,
  },
  { name: 'nothing at all', file: 'iptables-legacy-restore', exitCode: 1, stderr: '', code: 'rejected' },
]

test.each(ROWS)('classifyFailure() reads $name', ({ file, exitCode, stderr, code, line }) => {
  const request = { file, args: ['--noflush'], stdin: '*nat\nCOMMIT\n' }
  const error = classifyFailure(
    request,
    { exitCode, stdout: '', stderr, durationMs: 1 },
    'Cannot write rules',
  )
  expect({ code: error.code, line: error.line }).toEqual({ code, line })
  expect(error).toMatchObject({ command: [file, '--noflush'], exitCode, stderr, script: '*nat\nCOMMIT\n' })
})

test('classifyFailure() says in one line what failed, why, and what to do', () => {
  const stderr =
    'iptables-nft-restore v1.8.9 (nf_tables): \nline 2: RULE_APPEND failed (Invalid\x1b argument): rule\n'
  const request = { file: 'iptables-nft-restore', args: [], stdin: '*nat\n-A X\nCOMMIT\n' }
  const { message } = classifyFailure(
    request,
    { exitCode: 4, stdout: '', stderr, durationMs: 1 },
    'Cannot write rules',
  )
  expect(message).toBe(
    'Cannot write rules: iptables-nft-restore exited with code 4 (rejected) at line 2 of 3: ' +
      'iptables-nft-restore v1.8.9 (nf_tables): line 2: RULE_APPEND failed (Invalid\\x1b argument): rule; ' +
      'see the line of the script above; the rest is applied without it where possible',
  )
})
