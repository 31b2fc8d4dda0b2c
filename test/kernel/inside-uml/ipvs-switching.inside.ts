import { testIpvsSwitching } from '../../support/switching-tests.ts'

testIpvsSwitching()
