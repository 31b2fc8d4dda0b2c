import { loadOwnKernelCases } from '../support/conformance-kernel-cases.ts'
import { PROXIES } from '../support/conformance-kernel-proxy.ts'
import { testByPackets } from '../support/conformance-kernel-tests.ts'

testByPackets(PROXIES['nftables-older-nft'], { cases: loadOwnKernelCases(), asksForDifferences: false })
