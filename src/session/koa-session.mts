export * from './koa-session.js'
