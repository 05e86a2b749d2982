export * from './fastify-session.js'
