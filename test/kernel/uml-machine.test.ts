import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { runInUml } from '../../src/lab/uml/uml-machine.ts'
import { describeInUml } from '../support/inside-uml.ts'
import { AS_NOBODY, nobodyProblem } from '../support/as-nobody.ts'
import { describeKernel, skipTest } from '../support/skip-reasons.ts'

await describeInUml('user-mode-linux', { files: ['test/kernel/inside-uml/machine.inside.ts'] })

describeKernel('runInUml()', ['uml'], () => {
  test('passes arguments, environment and folder as they are, and hands back output and exit status', async () => {
    const word = `it's "$HOME" \`id\` \\ \n;`
    const pieces: string[] = []
    const result = await runInUml({
      command: 'sh',
      args: ['-c', 'printf %s "$1$WORD"; pwd; exit 3', 'sh', word],
      cwd: import.meta.dirname,
      env: { WORD: word },
      onOutput: (text) => pieces.push(text),
    })
    expect(result).toEqual({ exitCode: 3, output: `${word}${word}${import.meta.dirname}\n` })
    expect(pieces.join('')).toBe(result.output)
  }, 60_000)

  const module = join(import.meta.dirname, '../../src/lab/uml/uml-machine.ts')
  const unreadable = nobodyProblem(module)
  const ordinaryUser = 'works for an ordinary user, who is root inside'
  if (unreadable !== undefined) skipTest(ordinaryUser, unreadable)
  else test(ordinaryUser, asOrdinaryUser, 60_000)

  async function asOrdinaryUser(): Promise<void> {
    const script = `
      const { runInUml } = await import(${JSON.stringify(module)})
      const result = await runInUml({ command: 'sh', args: ['-c', 'id -u; ipvsadm -A -u 192.0.2.1:53 && echo added'] })
      console.log(JSON.stringify({ uid: process.getuid(), ...result }))`
    const asNobody = process.getuid?.() === 0 ? AS_NOBODY : []
    const node = [process.execPath, '--input-type=module', '--eval', script]
    const [file, ...args] = [...asNobody, ...node] as [string, ...string[]]
    const { stdout } = await promisify(execFile)(file, args, { env: { PATH: process.env['PATH'] } })
    const result = JSON.parse(stdout) as { uid: number }
    expect(result).toMatchObject({ exitCode: 0, output: '0\nadded\n' })
    expect(result.uid).not.toBe(0)
  }

  test('says why when the machine ended before the command', async () => {
    const run = runInUml({ command: 'sleep', args: ['60'], timeoutMs: 3000 })
    await expect(run).rejects.toThrow(/^Cannot finish "sleep" in user-mode-linux: 3000 ms passed/)
  }, 60_000)

  test('says what the kernel said when it panics', async () => {
    const run = runInUml({ command: 'sh', args: ['-c', 'echo c > /proc/sysrq-trigger'] })
    await expect(run).rejects.toThrow(
      /by itself \(console: Kernel panic - not syncing: sysrq triggered crash/,
    )
  }, 60_000)

  test('survives programs that would use io_uring', async () => {
    const work = 'for (let i = 0; i < 100; i++) require("child_process").spawnSync("unshare", ["-n", "true"])'
    const result = await runInUml({ command: process.execPath, args: ['-e', work] })
    expect(result).toEqual({ exitCode: 0, output: '' })
  }, 60_000)

  test('ends the machine when it is aborted', async () => {
    const aborted = runInUml({ command: 'true', args: [], signal: AbortSignal.abort() })
    await expect(aborted).rejects.toThrow('it was aborted')
  }, 60_000)

  test('leaves nothing behind when its own process is killed', async () => {
    const script = `
      const { runInUml } = await import(${JSON.stringify(module)})
      const onOutput = (text) => process.stdout.write(text)
      await runInUml({ command: 'sh', args: ['-c', 'while :; do :; done & echo busy; wait'], cwd: '/', onOutput })`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script])
    const [said] = (await once(child.stdout, 'data')) as [Buffer]
    expect(said.toString()).toBe('busy\n')
    const folder = `fairlead-uml-${child.pid}-`
    expect(processesOf(folder).length).toBeGreaterThan(1)
    child.kill('SIGKILL')
    for (let waits = 0; waits < 100 && processesOf(folder).length > 0; waits++) await sleep(100)
    expect(processesOf(folder)).toEqual([])
  }, 60_000)
})

/** Processes of the machine whose command line has this word. */
function processesOf(word: string): string[] {
  return readdirSync('/proc').filter((entry) => {
    if (!/^\d+$/.test(entry)) return false
    try {
      return readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes(word)
    } catch {
      return false
    }
  })
}
