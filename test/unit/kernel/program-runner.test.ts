import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KernelError } from '../../../src/kernel/kernel-error.ts'
import { ProgramRunner, timeoutFor } from '../../../src/kernel/program-runner.ts'
import { TurnCounter } from '../../support/turn-counter.ts'

const runner = new ProgramRunner()

test('ProgramRunner gives input, and tells output, errors and exit code apart', async () => {
  const args = ['-c', 'cat; echo oops >&2; exit 3']
  const result = await runner.run({ file: 'sh', args, stdin: 'hello' })
  expect(result).toMatchObject({ exitCode: 3, stdout: 'hello', stderr: 'oops\n' })
})

test('ProgramRunner can give input as a file that programs may open', async () => {
  const request = { file: 'sh', args: ['-c', 'cat /dev/stdin'], stdin: 'hello', stdinAsFile: true }
  expect(await runner.run(request)).toMatchObject({ exitCode: 0, stdout: 'hello' })
})

test.each(['cat', 'cat /dev/stdin'])(
  'ProgramRunner gives a long input whole as a file to "%s"',
  async (read) => {
    const lines = Array.from({ length: 200_000 }, (_, i) => `line ${i} – ü\n`).join('')
    const sum = await runner.run({
      file: 'sh',
      args: ['-c', `${read} | sha256sum`],
      stdin: lines,
      stdinAsFile: true,
    })
    expect(sum.stdout.slice(0, 64)).toBe(createHash('sha256').update(lines).digest('hex'))
  },
)

test('ProgramRunner gives input through a pipe where no file can be made', async () => {
  const nowhere = new ProgramRunner({ folder: '/proc/no-such-folder' })
  const request = { file: 'cat', args: [], stdin: 'hello', stdinAsFile: true }
  expect(await nowhere.run(request)).toMatchObject({ exitCode: 0, stdout: 'hello' })
})

test('ProgramRunner gives a long input whole, and waits for nobody who does not read it to its end', async () => {
  const lines = Array.from({ length: 200_000 }, (_, i) => `line ${i} – ü\n`).join('')
  const sum = await runner.run({ file: 'sha256sum', args: [], stdin: lines })
  expect(sum.stdout.slice(0, 64)).toBe(createHash('sha256').update(lines).digest('hex'))
  const one = { exitCode: 0, stdout: 'line 0 – ü\n' }
  await expect(runner.run({ file: 'head', args: ['-n1'], stdin: lines })).resolves.toMatchObject(one)
})

test('ProgramRunner survives a program that does not read its input', async () => {
  const request = { file: 'true', args: [], stdin: 'x'.repeat(10_000_000) }
  expect(await runner.run(request)).toMatchObject({ exitCode: 0 })
})

test('ProgramRunner names a missing program and the remedy', async () => {
  const error = await runner.run({ file: 'no-such-tool', args: [] }).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(KernelError)
  expect(error).toMatchObject({
    code: 'missing-tool',
    message:
      'Cannot run no-such-tool: no such program in PATH; install the package that contains "no-such-tool"',
  })
})

test('ProgramRunner tells a program that is nowhere from one that may not be run', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-path-'))
  try {
    // Whatever execve(2) refuses makes execvp(3) say so, even where it goes on looking and finds nothing.
    mkdirSync(join(folder, 'no-such-tool'))
    writeFileSync(join(folder, 'not-for-you'), '', { mode: 0o600 })
    const inFolder = new ProgramRunner({ env: { PATH: folder } })
    const codeOf = async (file: string): Promise<unknown> =>
      inFolder.run({ file, args: [] }).catch((thrown: unknown) => (thrown as KernelError).code)
    expect(await codeOf('no-such-tool')).toBe('missing-tool')
    expect(await codeOf('not-for-you')).toBe('permission')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('ProgramRunner ends a program that takes too long', async () => {
  const error = await runner
    .run({ file: 'sleep', args: ['60'], timeoutMs: 50 })
    .catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({
    code: 'timeout',
    exitCode: undefined,
    message: 'Cannot finish sleep: ended after 50 ms passed; look for an overloaded machine',
  })
})

test('ProgramRunner tells what makes iptables take too long', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-test-'))
  try {
    writeFileSync(join(folder, 'iptables-nft-restore'), '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 })
    const slow = new ProgramRunner({ env: { PATH: `${folder}:${process.env['PATH']}` } })
    const running = slow.run({ file: 'iptables-nft-restore', args: [], timeoutMs: 50 })
    await expect(running).rejects.toThrow('holds the xtables lock, or choose --mode nftables')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.each([
  {
    file: 'iptables-nft-save',
    remedy: 'kernel log, or choose --mode nftables, which carries larger clusters',
  },
  { file: 'conntrack', remedy: 'kernel log' },
])('ProgramRunner tells that $file crashed', async ({ file, remedy }) => {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-test-'))
  try {
    writeFileSync(join(folder, file), '#!/bin/sh\nkill -SEGV $$\n', { mode: 0o755 })
    const running = new ProgramRunner({ env: { PATH: `${folder}:${process.env['PATH']}` } }).run({
      file,
      args: [],
    })
    await expect(running).rejects.toThrow(
      new RegExp(`^Cannot finish ${file}: ended by signal SIGSEGV; look into the ${remedy}$`),
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('ProgramRunner ends a program when the signal is aborted', async () => {
  const stop = new AbortController()
  const running = runner
    .run({ file: 'sleep', args: ['60'], signal: stop.signal })
    .catch((thrown: unknown) => thrown)
  stop.abort()
  expect(await running).toMatchObject({ name: 'AbortError' })
})

test('ProgramRunner starts one program in a turn of the event loop, however many are wanted at once', async () => {
  const counter = new TurnCounter()
  // A program that is not there fails in the turn in which it would have been started.
  const wanted = Array.from({ length: 5 }, async () =>
    runner.run({ file: 'no-such-tool', args: [] }).catch(() => counter.turns),
  )
  const turns = await Promise.all(wanted)
  counter.stop()
  expect(new Set(turns).size).toBe(5)
})

test.each([
  { length: 0, seconds: 60 },
  { length: 1000, seconds: 60 },
  { length: 47_000_000, seconds: 295 },
])('a program has $seconds s for an input of $length characters', ({ length, seconds }) => {
  expect(Math.round(timeoutFor(' '.repeat(length)) / 1000)).toBe(seconds)
})
