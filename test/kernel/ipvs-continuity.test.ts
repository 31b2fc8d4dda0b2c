import { BACKENDS } from '../support/conformance-kernel-backends.ts'
import { testContinuity } from '../support/continuity-tests.ts'
import { describeInUml } from '../support/inside-uml.ts'
import { skipReason } from '../support/skip-reasons.ts'

const FILE = 'test/kernel/inside-uml/ipvs-continuity.inside.ts'

// A kernel with IPVS speaks for itself; everywhere else user-mode-linux stands in.
if (skipReason(BACKENDS.ipvs.needs) === undefined) testContinuity(BACKENDS.ipvs)
else await describeInUml('user-mode-linux', { files: [FILE], timeoutMs: 480_000 })
