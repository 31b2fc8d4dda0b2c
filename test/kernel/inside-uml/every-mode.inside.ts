import { BACKENDS } from '../../support/conformance-kernel-backends.ts'
import { testEveryMode } from '../../support/every-mode-tests.ts'

testEveryMode(BACKENDS.ipvs)
