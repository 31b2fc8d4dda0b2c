import { describeInUml } from '../support/inside-uml.ts'

await describeInUml('Complaints about IPVS modes, in user-mode-linux', {
  files: ['test/kernel/inside-uml/ipvs-complaints.inside.ts'],
  timeoutMs: 300_000,
})
