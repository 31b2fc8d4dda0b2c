import { BACKENDS } from '../support/conformance-kernel-backends.ts'
import { testEveryMode } from '../support/every-mode-tests.ts'
import { describeInUml } from '../support/inside-uml.ts'
import { skipReason } from '../support/skip-reasons.ts'

const FILE = 'test/kernel/inside-uml/every-mode.inside.ts'

// A kernel with IPVS speaks for itself; everywhere else user-mode-linux stands in.
if (skipReason(BACKENDS.ipvs.needs) === undefined) testEveryMode(BACKENDS.ipvs)
else await describeInUml('user-mode-linux', { files: [FILE], timeoutMs: 300_000 })
