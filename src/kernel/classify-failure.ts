/**
 * What a tool's refusal means: from its exit code and the first line it printed that says something.
 *
 * Quoted parts of that line may come from the API (names, comments, values), so they are taken out before anything is
 * compared: a Service cannot be called "Permission denied". One table for all tools; a row holds for one program.
 */
import type { ExecRequest, ExecResult } from './exec.ts'
import { KernelError, type KernelErrorCode } from './kernel-error.ts'

interface FailureRow {
  readonly tool: RegExp
  readonly pattern: RegExp
  readonly code: KernelErrorCode
  readonly remedy: string
}

const IPTABLES = /^ip6?tables(?:-legacy|-nft)?(?:-restore|-save)?$/
const ASK_ROOT = 'run as root, or with CAP_NET_ADMIN and CAP_NET_RAW in the host network'
const LOAD_MODULE = 'load the kernel module, or choose another proxy mode'
const LOOK_AGAIN = 'the rules are read again and repaired'

const NFT = /^nft$/

const ROWS: readonly FailureRow[] = [
  {
    tool: NFT,
    pattern: /Operation not permitted|Permission denied/,
    code: 'permission',
    remedy: ASK_ROOT,
  },
  {
    tool: NFT,
    pattern: /Device or resource busy|Resource temporarily unavailable|Interrupted system call/,
    code: 'busy',
    remedy: 'tried again in a moment',
  },
  { tool: NFT, pattern: /No such file or directory/, code: 'missing-object', remedy: LOOK_AGAIN },
  { tool: NFT, pattern: /File exists/, code: 'already-exists', remedy: LOOK_AGAIN },
  {
    tool: NFT,
    pattern: /Protocol not supported|Address family not supported|cache initialization failed/,
    code: 'unsupported',
    remedy: LOAD_MODULE,
  },
  {
    tool: /^ipset$/,
    pattern: /Operation not permitted|Permission denied/,
    code: 'permission',
    remedy: ASK_ROOT,
  },
  {
    tool: /^ipset$/,
    pattern: /Set cannot be destroyed: it is in use|Resource busy|set is in use/,
    code: 'busy',
    remedy: 'the set goes as soon as no rule refers to it',
  },
  {
    tool: /^ipset$/,
    pattern: /given name does not exist|cannot be added to the set: it's not/,
    code: 'missing-object',
    remedy: LOOK_AGAIN,
  },
  {
    tool: /^ipset$/,
    pattern: /already exists|it's already added/,
    code: 'already-exists',
    remedy: LOOK_AGAIN,
  },
  {
    tool: /^ipset$/,
    pattern:
      /Cannot open session to kernel|Kernel support protocol|Kernel error received: Invalid argument|set type not supported/,
    code: 'unsupported',
    remedy: LOAD_MODULE,
  },
  {
    tool: IPTABLES,
    pattern: /Permission denied|you must be root|Operation not permitted/,
    code: 'permission',
    remedy: ASK_ROOT,
  },
  {
    tool: IPTABLES,
    pattern: /xtables lock|Can't lock|Resource temporarily unavailable/,
    code: 'busy',
    remedy: 'look for a process that holds the xtables lock',
  },
  {
    tool: IPTABLES,
    pattern: /Table does not exist|unable to initialize table|table name \S* ?invalid/,
    code: 'unsupported',
    remedy: LOAD_MODULE,
  },
  {
    tool: IPTABLES,
    pattern: /Address family not supported|Protocol not supported|Protocol not available/,
    code: 'unsupported',
    remedy: 'the kernel lacks this IP family or table; enable it, or leave the family out',
  },
  {
    tool: IPTABLES,
    pattern: /Couldn't load match|missing kernel module|Extension \S* ?revision/,
    code: 'unsupported',
    remedy: 'install an iptables and a kernel that have this match',
  },
  {
    tool: IPTABLES,
    pattern: /unknown option|unrecognized option|invalid option/,
    code: 'unsupported',
    remedy: 'install iptables 1.6.2 or newer',
  },
  {
    tool: IPTABLES,
    pattern: /Chain already exists/,
    code: 'already-exists',
    remedy: LOOK_AGAIN,
  },
  {
    tool: IPTABLES,
    pattern:
      /does not exist|doesn't exist|Couldn't load target|No chain\/target\/match by that name|does a matching rule exist|is incompatible, use|failed \(No such file or directory\)/,
    code: 'missing-object',
    remedy: LOOK_AGAIN,
  },
]

const IPVS_ROWS: readonly FailureRow[] = [
  {
    tool: /^ipvsadm$/,
    pattern: /Module ip_vs not found|Can't initialize ipvs|Protocol not available|built in the kernel/,
    code: 'unsupported',
    remedy: 'load the kernel module ip_vs ("modprobe ip_vs"), or choose another proxy mode',
  },
  {
    tool: /^(ipvsadm|ip)$/,
    pattern: /not permitted|Permission denied|must be root/,
    code: 'permission',
    remedy: ASK_ROOT,
  },
  {
    tool: /^ipvsadm$/,
    pattern: /Scheduler or persistence engine not found/,
    code: 'unsupported',
    remedy: 'choose a scheduler that this kernel has, or install its module',
  },
  {
    tool: /^(ipvsadm|ip)$/,
    pattern: /already exists|File exists/,
    code: 'already-exists',
    remedy: LOOK_AGAIN,
  },
  {
    tool: /^(ipvsadm|ip)$/,
    pattern: /No such (service|destination|process)|Service not defined|Cannot find device/,
    code: 'missing-object',
    remedy: LOOK_AGAIN,
  },
]

const REFUSED = 'see the line of the script above; the rest is applied without it where possible'

/** `action`: what failed, as in `Cannot apply iptables rules for IPv4`; the tool's own words follow. */
export function classifyFailure(request: ExecRequest, result: ExecResult, action: string): KernelError {
  const said = firstSentence(result.stderr)
  const unquoted = said.replace(/`[^']*'|"[^"]*"|'[^']*'/g, (quoted) =>
    // Words between the apostrophes of "doesn't … can't" are the tool's own.
    /^'[a-z] /.test(quoted) ? quoted : '',
  )
  const row = [...ROWS, ...IPVS_ROWS].find(
    ({ tool, pattern }) => tool.test(request.file) && pattern.test(unquoted),
  )
  const code = row?.code ?? 'rejected'
  const remedy = row?.remedy ?? REFUSED
  const line = blamedLine(result.stderr)
  const where =
    line === undefined ? '' : ` at line ${line} of ${(request.stdin ?? '').split('\n').length - 1}`
  const message = `${action}: ${request.file} exited with code ${result.exitCode} (${code})${where}: ${escaped(said)}; ${remedy}`
  return new KernelError(message, {
    code,
    command: [request.file, ...request.args],
    exitCode: result.exitCode,
    stderr: result.stderr,
    script: request.stdin ?? '',
    line,
    remedy,
  })
}

/** Warnings are no reason, and nft variants put the reason on the line after their name. */
function firstSentence(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('# Warning'))
  const [first = 'no message', second = ''] = lines
  return first.endsWith(':') ? `${first} ${second}` : first
}

/** Each tool has its own words for it; they stand at the beginning of a line, where no quotation can be. */
function blamedLine(stderr: string): number | undefined {
  const found =
    /^Error occurred at line: (\d+)/m.exec(stderr) ??
    /^line (\d+): /m.exec(stderr) ??
    /^[a-z0-9-]+: line (\d+) failed/m.exec(stderr) ??
    /^ipset v[\d.]+: Error in line (\d+):/m.exec(stderr) ??
    /^Command failed -:(\d+)/m.exec(stderr) ??
    /^\/dev\/stdin:(\d+):\d+-\d+: Error/m.exec(stderr)
  return found?.[1] === undefined ? undefined : Number(found[1])
}

function escaped(text: string): string {
  return text.replace(/[\x00-\x1f\x7f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
