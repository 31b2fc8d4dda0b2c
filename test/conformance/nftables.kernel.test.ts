import { loadKernelCases, noteMissingCases } from '../support/conformance-kernel-cases.ts'
import { PROXIES } from '../support/conformance-kernel-proxy.ts'
import { testByPackets } from '../support/conformance-kernel-tests.ts'

noteMissingCases()
testByPackets(PROXIES.nftables, { cases: loadKernelCases() })
