import type { Exec, ExecRequest } from '../../../src/kernel/exec.ts'
import { Nft } from '../../../src/kernel/nft.ts'

const signal = new AbortController().signal

/** Answers every call alike and remembers it. */
function answering(answer: {
  readonly exitCode?: number
  readonly stdout?: string
  readonly stderr?: string
}) {
  const requests: ExecRequest[] = []
  const exec: Exec = {
    run: async (request) => {
      requests.push(request)
      return Promise.resolve({ exitCode: 0, stdout: '', stderr: '', durationMs: 1, ...answer })
    },
  }
  return { requests, nft: new Nft(exec, 'ip kube-proxy') }
}

test.each([
  { version: 'nftables v1.0.1 (Fearless Fosdick #3)', kernel: '5.13.0', want: '1.0.1' },
  { version: 'nftables v1.0.6 (Lester Gooch #5)', kernel: '6.18.44-fc', want: '1.0.6' },
  { version: 'nftables v1.1', kernel: '10.0', want: '1.1' },
])('requireVersions() accepts $version on Linux $kernel', async ({ version, kernel, want }) => {
  expect(await answering({ stdout: `${version}\n` }).nft.requireVersions(kernel)).toBe(want)
})

test.each([
  {
    version: 'nftables v1.0.0 (Fearless Fosdick #2)',
    kernel: '6.1.0',
    names: 'nft 1.0.0 is too old; install nft 1.0.1',
  },
  { version: 'nftables v0.9.8 (E.D.S.)', kernel: '6.1.0', names: 'nft 0.9.8 is too old; install nft 1.0.1' },
  { version: 'nftables v1.0.6', kernel: '5.12.19-generic', names: 'Linux 5.12.19-generic is too old' },
  { version: 'nftables v1.0.6', kernel: '4.18.0-553.el8', names: 'Linux 4.18.0-553.el8 is too old' },
  { version: 'something else', kernel: '6.1.0', names: 'nft 0 is too old' },
])('requireVersions() refuses $version on Linux $kernel and says why', async ({ version, kernel, names }) => {
  const refused = answering({ stdout: version }).nft.requireVersions(kernel)
  await expect(refused).rejects.toMatchObject({ name: 'KernelError', code: 'unsupported' })
  await expect(refused).rejects.toThrow(names)
})

test('list() and deleteTable() name their own table only, and take its absence for an answer', async () => {
  const stderr = 'Error: No such file or directory\nlist table ip kube-proxy\n              ^^^^^^^^^^\n'
  const { nft, requests } = answering({ exitCode: 1, stderr })
  expect(await nft.list(signal)).toBeUndefined()
  expect(await nft.listSet('nodeport-ips', signal)).toBeUndefined()
  expect(await nft.deleteTable(signal)).toBe(false)
  // nft 0.9.8 opens /dev/stdin by its name.
  expect(requests.at(-1)?.stdinAsFile).toBe(true)
  expect(requests.map(({ args, stdin = '' }) => [...args, stdin].join(' '))).toEqual([
    '-n list table ip kube-proxy ',
    '-n list set ip kube-proxy nodeport-ips ',
    '-f - delete table ip kube-proxy\n',
  ])
})

test('list() throws when nft refuses for another reason', async () => {
  const { nft } = answering({ exitCode: 1, stderr: 'Error: Operation not permitted (you must be root)\n' })
  await expect(nft.list(signal)).rejects.toMatchObject({ code: 'permission' })
})
