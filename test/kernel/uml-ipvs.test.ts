import { describeInUml } from '../support/inside-uml.ts'

await describeInUml('IPVS mode in user-mode-linux', {
  files: ['test/kernel/inside-uml/ipvs.inside.ts', 'test/kernel/inside-uml/ipvs-netlink.inside.ts'],
  timeoutMs: 400_000,
})
