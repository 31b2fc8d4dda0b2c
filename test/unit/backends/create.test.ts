import { createIptablesBackend } from '../../../src/backends/iptables/iptables-backend.ts'
import { createNftablesBackend } from '../../../src/backends/nftables/nftables-backend.ts'
import { ProgramRunner } from '../../../src/kernel/program-runner.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'

const OPTIONS = { family: 'IPv4', detector: undefined, masqueradeMark: 0x4000, dropInvalid: true } as const

/** A host on which no program is installed. */
const wiring = {
  options: OPTIONS,
  exec: { run: async () => new ProgramRunner().run({ file: 'fairlead-has-no-such-program', args: [] }) },
  log: silentLogger,
}

test('createIptablesBackend() names the program that is missing', async () => {
  await expect(createIptablesBackend(wiring)).rejects.toMatchObject({
    name: 'KernelError',
    code: 'missing-tool',
  })
})

test('createNftablesBackend() names the program that is missing', async () => {
  await expect(createNftablesBackend(wiring)).rejects.toMatchObject({
    name: 'KernelError',
    code: 'missing-tool',
  })
})
