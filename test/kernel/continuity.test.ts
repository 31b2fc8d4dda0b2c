import { BACKENDS } from '../support/conformance-kernel-backends.ts'
import { testContinuity } from '../support/continuity-tests.ts'

testContinuity(BACKENDS['iptables-legacy'])
testContinuity(BACKENDS['iptables-nft'])
testContinuity(BACKENDS.nftables)
