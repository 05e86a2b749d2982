/** @type {import('jest').Config} */
module.exports = {
  // What takes minutes, one file after the other: `npm run test:long -- --runInBand`.
  testMatch: process.env.LONG
    ? ['<rootDir>/test/topologies/*.test.ts', '<rootDir>/test/**/*.long.test.ts']
    : ['<rootDir>/test/!(topologies)/**/!(*.long).test.ts'],
  // The types are checked once, by `npm run typecheck`.
  transform: {
    '^.+\\.(ts|js)$': ['@swc/jest', { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' } }]
  },
  // @fastify/cookie loads it by a dynamic import, which jest has not.
  transformIgnorePatterns: ['/node_modules/(?!(@fastify/)?cookie/)'],
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
