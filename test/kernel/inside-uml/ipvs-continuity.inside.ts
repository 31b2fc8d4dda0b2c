import { BACKENDS } from '../../support/conformance-kernel-backends.ts'
import { testContinuity } from '../../support/continuity-tests.ts'

// A program starts a hundred times slower here than on a host.
testContinuity(BACKENDS.ipvs, { changes: 9, restarts: 2 })
