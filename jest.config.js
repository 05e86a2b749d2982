/** @type {import('jest').Config} */
module.exports = {
  // They start clusters and kill servers, one file after the other: `npm run test:topologies -- --runInBand`.
  testPathIgnorePatterns: process.env.TOPOLOGIES ? [] : ['<rootDir>/test/topologies/'],
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // The types are checked once, by `npm run typecheck`.
  transform: {
    '^.+\\.ts$': ['@swc/jest', { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' } }]
  },
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  globalSetup: '<rootDir>/test/support/setup.ts',
  setupFiles: ['<rootDir>/test/support/setup-file.ts'],
  globalTeardown: '<rootDir>/test/support/teardown.ts',
  testSequencer: '<rootDir>/test/support/sequencer.mjs',
  // Only ends what hangs.
  testTimeout: 180_000,
  // For two cores: some tests mostly wait.
  maxWorkers: 3
}
