/** What an operator reads when the host lacks something. Standard error is as the tools printed it. */
import { createIpvsBackend } from '../../../../src/backends/ipvs/ipvs-backend.ts'
import type { Exec, ExecRequest, ExecResult } from '../../../../src/kernel/exec.ts'
import { KernelError } from '../../../../src/kernel/kernel-error.ts'
import { silentLogger } from '../../../../src/runtime/logger.ts'

type Answer = Partial<ExecResult> | 'missing'

/** A host where everything works but what `answers` says of a program. */
function host(answers: Readonly<Record<string, Answer>>): Exec {
  return {
    run(request: ExecRequest) {
      const answer = answers[request.file] ?? usual(request)
      if (answer !== 'missing')
        return Promise.resolve({ exitCode: 0, stdout: '', stderr: '', durationMs: 1, ...answer })
      const failure = {
        command: [request.file],
        exitCode: undefined,
        stderr: '',
        script: '',
        line: undefined,
      }
      const remedy = `install the package that contains "${request.file}"`
      const message = `Cannot run ${request.file}: no such program in PATH; ${remedy}`
      return Promise.reject(new KernelError(message, { ...failure, code: 'missing-tool', remedy }))
    },
  }
}

function usual({ file, args }: ExecRequest): Answer {
  return file.startsWith('iptables') && args.includes('--version')
    ? { stdout: 'iptables v1.8.9 (legacy)\n' }
    : {}
}

async function create(answers: Readonly<Record<string, Answer>>, scheduler = ''): Promise<string> {
  const options = { family: 'IPv4', detector: undefined, masqueradeMark: 0x4000, dropInvalid: true } as const
  const wiring = {
    options,
    exec: host(answers),
    log: silentLogger,
    nodeName: 'node',
    variant: 'legacy',
  } as const
  return createIpvsBackend({ ...wiring, ipvs: { scheduler } }).then(
    () => 'works',
    (error: unknown) => (error as Error).message,
  )
}

test('createIpvsBackend() starts on a host that has everything', async () => {
  expect(await create({})).toBe('works')
})

test('createIpvsBackend() says what to do about a kernel without IPVS', async () => {
  const stderr =
    "Can't initialize ipvs: Protocol not available\nAre you sure that IP Virtual Server is built in the kernel or as module?\n"
  expect(await create({ ipvsadm: { exitCode: 255, stderr } })).toMatch(
    /^Cannot list virtual servers: ipvsadm exited with code 255 \(unsupported\).*load the kernel module ip_vs/,
  )
})

test.each(['ipvsadm', 'ipset', 'ip'])(
  'createIpvsBackend() names the program %s that is missing',
  async (file) => {
    expect(await create({ [file]: 'missing' })).toBe(
      `Cannot run ${file}: no such program in PATH; install the package that contains "${file}"`,
    )
  },
)

test('createIpvsBackend() says what to do about a scheduler that does not exist', async () => {
  expect(await create({}, 'best')).toMatch(
    /^Cannot use the IPVS scheduler "best": there is no such scheduler; set --ipvs-scheduler/,
  )
})

test('createIpvsBackend() says what to do about settings that cannot be written', async () => {
  const tee = { exitCode: 1, stderr: 'tee: /proc/sys/net/ipv4/vs/conntrack: Permission denied\n' }
  expect(await create({ tee })).toMatch(
    /^Cannot set net\.ipv4\.vs\.conntrack, .* to 1: .*on the host, or let the proxy write/,
  )
})
