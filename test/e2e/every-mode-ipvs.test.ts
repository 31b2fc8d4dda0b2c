import { describeInUml } from '../support/inside-uml.ts'
import { skipReason, skipTest } from '../support/skip-reasons.ts'

const FILE = 'test/e2e/every-mode.test.ts'

// A kernel with IPVS has this mode among the others; everywhere else user-mode-linux stands in.
if (skipReason(['ipvs']) === undefined) skipTest('every mode in user-mode-linux', `ipvs is tested by ${FILE}`)
else
  await describeInUml('user-mode-linux', {
    files: [FILE],
    timeoutMs: 400_000,
    memoryMb: 1536,
    env: { TEST_MODES: 'ipvs' },
  })
