import { execFileSync } from 'node:child_process'
import { quoteWord, renderInit, renderModprobe } from '../../../../src/lab/uml/uml-init.ts'

const init = { args: ['-e', "it's"], cwd: '/a b', env: { X: '$(id)' }, workDir: '/w', lifetimeSeconds: 9 }

describe('quoteWord()', () => {
  test.each(['', "it's", '$(id) `id` "x" \\', 'two\nlines', "''", '-n'])('keeps %j one word', (word) => {
    const output = execFileSync('sh', ['-c', `printf '[%s]' ${quoteWord(word)}`], { encoding: 'utf8' })
    expect(output).toBe(`[${word}]`)
  })
})

describe('renderInit()', () => {
  const text = renderInit({ command: 'node', ...init })

  test('quotes what it was given', () => {
    expect(text).toContain(`cd '/a b' && 'node' '-e' 'it'\\''s' < /dev/null > /dev/ttyS0 2>&1`)
    expect(text).toContain(`export X='$(id)'`)
  })

  test('switches io_uring off where the kernel has a switch, before anything runs that would use it', () => {
    const off = text.indexOf('echo 2 > /proc/sys/kernel/io_uring_disabled')
    expect(off).toBeGreaterThan(0)
    expect(off).toBeLessThan(text.indexOf(`'node' '-e'`))
  })

  test('bounds the life of the machine and powers it off', () => {
    expect(text).toContain('sleep 9; echo o > /proc/sysrq-trigger')
    expect(text).toContain(`echo $? > '/w/exit-code'`)
  })
})

test('renderModprobe() looks for modules in the work folder', () => {
  expect(renderModprobe('/w')).toBe(`#!/bin/sh\nexec /sbin/modprobe -d '/w/modules' "$@"\n`)
})
