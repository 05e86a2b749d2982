export * from './main.js'
export { Tokenstore as default } from './main.js'
