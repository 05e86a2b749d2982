// What test/api_test.js requires: the facade, on the tests' Redis instead of port 6379.
const { api } = require('../../../src/main')

const config = () => ({ prefix: process.env.TEST_PREFIX, redis: process.env.TEST_REDIS_URL, timeout: 10_000 })

module.exports = { api: () => api(config()) }
