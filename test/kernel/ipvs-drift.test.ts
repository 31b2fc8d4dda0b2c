import { describeInUml } from '../support/inside-uml.ts'

await describeInUml('IPVS mode and what others do, in user-mode-linux', {
  files: ['test/kernel/inside-uml/ipvs-drift.inside.ts'],
  timeoutMs: 300_000,
})
