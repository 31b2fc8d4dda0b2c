import { BACKENDS } from '../support/conformance-kernel-backends.ts'
import { testRemoval } from '../support/removal-tests.ts'

testRemoval(BACKENDS['iptables-legacy'])
testRemoval(BACKENDS['iptables-nft'])
testRemoval(BACKENDS.nftables)
