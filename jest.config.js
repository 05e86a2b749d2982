/** @type {import('jest').Config} */
module.exports = {
  // They start clusters and kill servers, one file after the other: `npm run test:topologies -- --runInBand`.
  testPathIgnorePatterns: process.env.TOPOLOGIES ? [] : ['<rootDir>/test/topologies/'],
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // The types are checked once, by `npm run typecheck`.
  transform: {
    '^.+\\.ts$': [
      'ts-jest',
      {
        diagnostics: false,
        tsconfig: {
          module: 'commonjs',
          moduleResolution: 'node10',
          ignoreDeprecations: '6.0',
          target: 'ES2022',
          esModuleInterop: true,
          isolatedModules: true
        }
      }
    ]
  },
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  globalSetup: '<rootDir>/test/support/setup.ts',
  globalTeardown: '<rootDir>/test/support/teardown.ts',
  // Only ends what hangs.
  testTimeout: 180_000,
  maxWorkers: 2
}
