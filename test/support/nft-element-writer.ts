/**
 * Writes random sequences of decisions into the table of one family, inside a network namespace, where a test process
 * cannot be: what chains and intervals need by `nft`, all other elements by netlink. After each step the table is read
 * and compared with the plan. Prints one line of JSON: how many elements were written how, and the first difference.
 */
import fc from 'fast-check'
import { tableName } from '../../src/backends/nftables/names.ts'
import { createNftablesBackend } from '../../src/backends/nftables/nftables-backend.ts'
import { containersOf } from '../../src/backends/nftables/plan-layout.ts'
import { dialectOf } from '../../src/backends/nftables/plan-dialect.ts'
import { wordsOf } from '../../src/backends/nftables/plan-words.ts'
import { REMOVE_PURPOSE } from '../../src/backends/nftables/script.ts'
import { atOnce } from '../../src/collections/sliced.ts'
import { NftElements } from '../../src/kernel/nft-elements.ts'
import { ProgramRunner } from '../../src/kernel/program-runner.ts'
import type { Family } from '../../src/net/ip.ts'
import { diffState, isEmpty } from '../../src/netfilter/kernel-state.ts'
import { elementTypes } from '../../src/netfilter/nftables/element-message.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { portSequences, stepsOf } from './port-sequences.ts'

const { signal } = new AbortController()
const family = process.argv[2] as Family
const sequences = Number(process.argv[3])
const exec = new ProgramRunner()
const { stdout: version } = await exec.run({ file: 'nft', args: ['--version'] })
const types = elementTypes(containersOf(wordsOf(family, dialectOf(version))))
const elements = NftElements.open()
const backend = await createNftablesBackend({
  options: { family, detector: undefined, masqueradeMark: 0x4000, dropInvalid: true },
  exec,
  log: silentLogger,
})
const written = { byNetlink: 0, byNft: 0, refused: [] as string[] }

async function byNft(lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return
  const stdin = `${lines.join('\n')}\n`
  const { exitCode, stderr } = await exec.run({ file: 'nft', args: ['-f', '-'], stdin, stdinAsFile: true })
  if (exitCode !== 0) throw new Error(stderr)
}

function isForNetlink(line: string): boolean {
  const [, container = ''] = /^(?:add|delete) element \S+ \S+ (\S+) /.exec(line) ?? []
  return types.has(container)
}

/** One command of each kind at a time, so that a refusal says which. */
async function carryOut(script: string): Promise<void> {
  const lines = script.split('\n').filter((line) => line !== '')
  await byNft(lines.filter((line) => !line.includes(' element ')))
  for (const verb of ['delete', 'add']) {
    const its = lines.filter((line) => line.startsWith(`${verb} element`))
    const others = its.filter((line) => !isForNetlink(line))
    written.byNft += others.length
    await byNft(others)
    for (const line of its.filter(isForNetlink)) {
      written.byNetlink++
      if ((await elements?.write(line, types)) !== true) written.refused.push(line)
    }
  }
}

const run = fc.asyncProperty(portSequences(family), async (changes) => {
  const { family: words, name } = tableName(family)
  await byNft([`add table ${words} ${name}`, `delete table ${words} ${name}`])
  for (const forwarding of stepsOf(changes, family)) {
    const want = backend.plan(forwarding)
    for (const step of atOnce(backend.script(diffState(want, await backend.observe(signal)))))
      if (step.purpose === REMOVE_PURPOSE) await backend.apply([step], signal)
      else await carryOut(step.stdin)
    const difference = diffState(want, await backend.observe(signal))
    if (!isEmpty(difference)) throw new Error(JSON.stringify(difference))
  }
})
const { failed, errorInstance, counterexample } = await fc.check(run, {
  numRuns: sequences,
  endOnFailure: true,
})
const failure = failed ? `${String(errorInstance)} ${fc.stringify(counterexample)}` : null
process.stdout.write(`${JSON.stringify({ ...written, failure })}\n`)
elements?.close()
