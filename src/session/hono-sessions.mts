export * from './hono-sessions.js'
