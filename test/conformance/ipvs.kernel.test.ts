import { loadKernelCases, noteMissingCases } from '../support/conformance-kernel-cases.ts'
import { PROXIES } from '../support/conformance-kernel-proxy.ts'
import { testByPackets } from '../support/conformance-kernel-tests.ts'
import { runCasesInUml } from '../support/conformance-kernel-uml.ts'
import { skipReason } from '../support/skip-reasons.ts'

noteMissingCases()
const cases = loadKernelCases()
// A kernel with IPVS judges itself; everywhere else user-mode-linux stands in.
if (skipReason(PROXIES.ipvs.needs) === undefined) testByPackets(PROXIES.ipvs, { cases })
else
  testByPackets(PROXIES.ipvs, {
    cases,
    needs: ['uml'],
    run: (signal) => runCasesInUml('ipvs', cases, signal),
  })
