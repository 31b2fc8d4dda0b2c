import { BACKENDS } from '../support/conformance-kernel-backends.ts'
import { describeInUml } from '../support/inside-uml.ts'
import { skipReason } from '../support/skip-reasons.ts'
import { testIpvsSwitching } from '../support/switching-tests.ts'

const FILE = 'test/kernel/inside-uml/ipvs-switching.inside.ts'

// A kernel with IPVS speaks for itself; everywhere else user-mode-linux stands in.
if (skipReason(BACKENDS.ipvs.needs) === undefined) testIpvsSwitching()
else await describeInUml('user-mode-linux', { files: [FILE], timeoutMs: 300_000 })
