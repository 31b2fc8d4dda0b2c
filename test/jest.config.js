// unit: no root, no kernel, no network but loopback. kernel: tools in network namespaces. e2e: the built program.
const shared = {
  rootDir: `${import.meta.dirname}/..`,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/support/strip-types.js' },
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
}

export default {
  // A limit against hanging, not a claim about speed: machines are shared and slow at times.
  testTimeout: 60_000,
  testSequencer: `${import.meta.dirname}/support/slowest-first.js`,
  rootDir: `${import.meta.dirname}/..`,
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: [
        '<rootDir>/test/{unit,property}/**/*.test.ts',
        '<rootDir>/test/conformance/**/*.oracle.test.ts',
      ],
    },
    {
      ...shared,
      displayName: 'kernel',
      testMatch: ['<rootDir>/test/kernel/**/*.test.ts', '<rootDir>/test/conformance/**/*.kernel.test.ts'],
    },
    { ...shared, displayName: 'e2e', testMatch: ['<rootDir>/test/e2e/**/*.test.ts'] },
  ],
}
