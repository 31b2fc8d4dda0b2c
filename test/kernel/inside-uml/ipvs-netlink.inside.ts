/** The two ways to the kernel's virtual servers say the same. Here the whole machine is ours, so no namespace is needed. */
import { IpvsNetlink } from '../../../src/kernel/ipvs-netlink.ts'
import { Ipvsadm } from '../../../src/kernel/ipvsadm.ts'
import { KernelError } from '../../../src/kernel/kernel-error.ts'
import { ProgramRunner } from '../../../src/kernel/program-runner.ts'
import { renderCommand } from '../../../src/netfilter/ipvs/command.ts'
import { realServerKey } from '../../../src/netfilter/ipvs/virtual-server.ts'

const exec = new ProgramRunner()
const program = new Ipvsadm(exec)
const signal = new AbortController().signal
let netlink: IpvsNetlink

const LINES = [
  '-A -t 10.0.0.1:80 -s rr',
  '-a -t 10.0.0.1:80 -r 10.2.0.1:80 -m -w 100',
  '-a -t 10.0.0.1:80 -r 10.2.0.2:8080 -m -w 0',
  '-A -t 10.0.0.2:80 -s mh -p 10800 -b mh-port',
  '-A -u 10.0.0.2:53 -s sh -b sh-port',
  '-A --sctp-service 10.0.0.2:53 -s wlc',
  '-A -t [fd00::1]:80 -s rr -p 300',
  '-a -t [fd00::1]:80 -r [fd00::5]:8080 -m -w 1',
  '-A -f 1610612737 -s rr',
  '-a -f 1610612737 -r 10.2.0.5:0 -m -w 1',
  '-A -f 1610612737 -6 -s rr',
  '-a -f 1610612737 -6 -r [fd00::5]:0 -m -w 1',
]

const listed = async () =>
  (await program.list(signal)).map((server) => renderCommand({ verb: 'add', server })).toSorted()

beforeAll(async () => {
  const opened = await IpvsNetlink.open(program)
  if (opened === undefined) throw new Error('no netlink socket')
  netlink = opened
})

beforeEach(async () => {
  await exec.run({ file: 'ipvsadm', args: ['-C'] })
})

afterAll(() => {
  netlink.close()
})

test('IpvsNetlink writes what ipvsadm writes', async () => {
  await netlink.restore(`${LINES.join('\n')}\n`, signal)
  expect(await listed()).toEqual(LINES.toSorted())
})

test('IpvsNetlink edits and deletes', async () => {
  await netlink.restore(`${LINES.join('\n')}\n`, signal)
  const edits = [
    '-E -t 10.0.0.2:80 -s wrr',
    '-e -t 10.0.0.1:80 -r 10.2.0.1:80 -m -w 7',
    '-d -t [fd00::1]:80 -r [fd00::5]:8080',
    '-D -f 1610612737 -6',
  ]
  await netlink.restore(`${edits.join('\n')}\n`, signal)
  const lines = await listed()
  expect(lines).toEqual(
    expect.arrayContaining(['-A -t 10.0.0.2:80 -s wrr', '-a -t 10.0.0.1:80 -r 10.2.0.1:80 -m -w 7']),
  )
  expect(lines.filter((line) => line.includes('fd00::5') || line.includes(' -6'))).toEqual([])
})

describe('IpvsNetlink names the line that the kernel refuses, and does the others:', () => {
  test.each([
    ['-A -t 10.0.0.1:80 -s rr', 'already-exists', 'it exists already'],
    ['-a -t 10.0.0.1:80 -r 10.2.0.1:80 -m -w 1', 'already-exists', 'it exists already'],
    ['-D -t 10.9.9.9:80', 'missing-object', 'it does not exist'],
    ['-d -t 10.0.0.1:80 -r 10.9.9.9:1', 'missing-object', 'it does not exist'],
    ['-A -t 10.0.0.7:80 -s nosuch', 'unsupported', 'no such scheduler in this kernel'],
    ['-A -t 10.0.0.7:80 -s rr -O', 'rejected', 'error 22'],
  ])('%s', async (line, code, why) => {
    await netlink.restore(`${LINES.join('\n')}\n`, signal)
    const script = `-A -t 10.0.0.8:80 -s rr\n${line}\n-A -t 10.0.0.9:80 -s rr\n`
    const error: unknown = await netlink.restore(script, signal).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(KernelError)
    expect(error).toMatchObject({ code, line: 2, script })
    expect((error as KernelError).message).toContain(why)
  })

  test('ipvsadm comes to the same codes', async () => {
    const code = (script: string) =>
      program.restore(script, signal).catch((error: unknown) => (error as KernelError).code)
    await program.restore(`${LINES.join('\n')}\n`, signal)
    expect(await code('-A -t 10.0.0.1:80 -s rr\n')).toBe('already-exists')
    expect(await code('-D -t 10.9.9.9:80\n-A -t 10.0.0.9:80 -s rr\n')).toBe('missing-object')
    expect(await code('-A -t 10.0.0.7:80 -s nosuch\n')).toBe('unsupported')
  })
})

test('both count connections alike', async () => {
  await netlink.restore(`${LINES.join('\n')}\n`, signal)
  const selectors = new Set(['-t 10.0.0.1:80', '-t [fd00::1]:80', '-f 1610612737 -6', '-t 10.9.9.9:80'])
  const counts = await netlink.connections(selectors, signal)
  expect([...counts].toSorted()).toEqual([...(await program.connections(selectors, signal))].toSorted())
  expect(counts.get(realServerKey('-t 10.0.0.1:80', '10.2.0.2:8080'))).toBe(0)
  expect(counts.size).toBe(4)
})

test('a thousand virtual servers fit', async () => {
  const lines = Array.from({ length: 1000 }, (_, i) => [
    `-A -t 10.1.${i >> 8}.${i & 255}:80 -s rr`,
    `-a -t 10.1.${i >> 8}.${i & 255}:80 -r 10.2.0.1:80 -m -w 1`,
  ]).flat()
  await netlink.restore(`${lines.join('\n')}\n`, signal)
  expect(await listed()).toEqual(lines.toSorted())
})
