import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { ProgramRunner } from '../../../src/kernel/program-runner.ts'
import { StandingChild } from '../../../src/kernel/standing-child.ts'

const stop = new AbortController()
const { signal } = stop
afterAll(() => stop.abort())

const open = (script: string) => new ProgramRunner().open({ file: 'sh', args: ['-c', script], signal })

test('a program that stays is asked many times, one question after the other', async () => {
  const program = open('while read -r word; do sleep 0.01; echo "$word?"; echo end; done')
  const answers = await Promise.all(['one', 'two', 'three'].map((word) => program.ask(`${word}\n`, 'end')))
  expect(answers).toEqual(
    ['one', 'two', 'three'].map((word) => ({ text: `${word}?\nend\n`, exitCode: undefined })),
  )
  expect(program.ended).toBe(false)
})

test('a program that ends instead of answering tells what it said before and its exit code', async () => {
  const program = open('read -r word; echo "$word?"; exit 3')
  expect(await program.ask('one\n', 'end')).toEqual({ text: 'one?\n', exitCode: 3 })
  expect(program.ended).toBe(true)
  expect(await program.ask('two\n', 'end')).toEqual({ text: '', exitCode: 3 })
})

test('a program that does not exist has ended', async () => {
  const program = new ProgramRunner().open({ file: 'no-such-tool', args: [], signal })
  expect(await program.ask('one\n', 'end')).toEqual({ text: '', exitCode: null })
})

test('a program that is silent for too long is ended', async () => {
  const child = spawn('sleep', ['60'], { stdio: ['pipe', 'pipe', 'ignore'] })
  const program = new StandingChild(child, ['sleep', '60'], 1)
  const closed = once(child, 'close')
  await expect(program.ask('one\n', 'end')).rejects.toMatchObject({
    code: 'timeout',
    message: 'Cannot ask sleep: no answer within 1 ms; look for an overloaded machine',
  })
  expect(program.ended).toBe(true)
  await closed
})

test('a program ends with the signal', async () => {
  const own = new AbortController()
  const program = new ProgramRunner().open({ file: 'cat', args: [], signal: own.signal })
  expect(await program.ask('one\n', 'one')).toEqual({ text: 'one\n', exitCode: undefined })
  own.abort()
  expect(await program.ask('two\n', 'two')).toEqual({ text: '', exitCode: null })
})
