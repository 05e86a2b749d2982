/**
 * The scripts in a real Lua 5.1, with what Redis gives them: KEYS, ARGV, redis.call,
 * redis.pcall, redis.error_reply and cjson. Strings are bytes on both sides (latin1).
 *
 * Where this is narrower than Redis: cjson encodes only strings, and decodes only
 * objects of strings and numbers, which is what the head of a record is. An error does
 * not end with the digest and line of the script.
 */
import * as wasmoon from 'wasmoon-lua5.1'
import type { Reply } from './redis-model'

// In a test it comes from lua-environment.ts.
const { LuaApi } = (globalThis as { wasmoon?: typeof wasmoon }).wasmoon ?? wasmoon

/** What the host does for a script: one command of Redis. */
export type Call = (command: string, ...args: string[]) => Reply

const PRELUDE = `
local host, encode, decode = ...
redis, cjson, scripts = { pcall = host }, { encode = encode }, {}
function redis.call(...)
  local reply = host(...)
  if type(reply) == 'table' and reply.err then error(reply, 0) end
  return reply
end
function redis.error_reply(text) return { err = text } end
function cjson.decode(text)
  local pairs_of, object = { decode(type(text) == 'string' and text or '') }, {}
  if not pairs_of[1] then error('not JSON', 0) end
  for i = 1, #pairs_of, 2 do object[pairs_of[i]] = pairs_of[i + 1] end
  return object
end
return function(name, root, ...)
  KEYS, ARGV = { root }, { ... }
  local ok, reply = pcall(scripts[name])
  if ok or type(reply) == 'table' and reply.err then return reply end
  return { err = 'ERR ' .. tostring(reply) }
end`

/** The part of Lua's C API that is used; in JavaScript its functions begin with _. */
interface Lua {
  HEAPU8: Uint8Array
  HEAPU32: Uint32Array
  addFunction(body: (state: number) => number, signature: string): number
  _malloc(bytes: number): number
  _free(at: number): void
  _luaL_newstate(): number
  _luaL_openlibs(state: number): void
  _luaL_loadbuffer(state: number, at: number, length: number, name: number): number
  _lua_checkstack(state: number, size: number): number
  _lua_createtable(state: number, items: number, fields: number): void
  _lua_getfield(state: number, index: number, name: number): void
  _lua_gettop(state: number): number
  _lua_pcall(state: number, args: number, results: number, handler: number): number
  _lua_pushboolean(state: number, value: number): void
  _lua_pushcclosure(state: number, body: number, upvalues: number): void
  _lua_pushlstring(state: number, at: number, length: number): void
  _lua_pushnumber(state: number, value: number): void
  _lua_pushvalue(state: number, index: number): void
  _lua_rawgeti(state: number, index: number, at: number): void
  _lua_rawseti(state: number, index: number, at: number): void
  _lua_setfield(state: number, index: number, name: number): void
  _lua_settop(state: number, top: number): void
  _lua_toboolean(state: number, index: number): number
  _lua_tolstring(state: number, index: number, length: number): number
  _lua_tonumber(state: number, index: number): number
  _lua_type(state: number, index: number): number
}

const GLOBALS = -10002
const enum Type {
  Nil = 0,
  Boolean = 1,
  Number = 3,
  String = 4,
  Table = 5
}

const ROOM = 65536

export class LuaVm {
  readonly #lua: Lua
  readonly #state: number
  /** Room for a length, and behind it for a string. */
  readonly #room: number
  readonly #names = new Map<string, number>()
  #bytes: Buffer
  #call: Call = () => {
    throw new Error('no script is running')
  }
  /** What went wrong in a command; Lua cannot carry it. */
  #failure: Error | undefined

  static async create(): Promise<LuaVm> {
    const api = await LuaApi.initialize()
    return new LuaVm((api as unknown as { module: Lua }).module)
  }

  private constructor(lua: Lua) {
    this.#lua = lua
    this.#bytes = Buffer.from(lua.HEAPU8.buffer)
    this.#room = lua._malloc(ROOM + 4)
    this.#state = lua._luaL_newstate()
    lua._luaL_openlibs(this.#state)
    this.#load(PRELUDE, 'prelude')
    this.#host((args) => this.#push(this.#redis(args)))
    this.#host(([text]) => this.#push(encoded(text!)))
    this.#host(([text]) =>
      decoded(text!).reduce<number>((pushed, value) => pushed + this.#push(value), 0)
    )
    this.#run(3)
  }

  /** Adds a script, byte for byte. */
  load(name: string, text: string): void {
    const { _lua_getfield, _lua_setfield, _lua_settop } = this.#lua
    _lua_getfield(this.#state, GLOBALS, this.#name('scripts'))
    this.#load(text, '@user_script')
    _lua_setfield(this.#state, -2, this.#name(name))
    _lua_settop(this.#state, -2)
  }

  /** What EVALSHA would answer. */
  run(name: string, root: string, args: readonly string[], call: Call): Reply {
    this.#call = call
    this.#failure = undefined
    this.#lua._lua_checkstack(this.#state, args.length + 4)
    this.#lua._lua_pushvalue(this.#state, 1) // what the prelude answered
    for (const text of [name, root, ...args]) this.#push(text)
    this.#run(args.length + 2)
    this.#throwFailure()
    const reply = this.#reply(-1)
    this.#lua._lua_settop(this.#state, 1)
    return reply
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure
  }

  #redis(args: string[]): Reply {
    try {
      return this.#call(args[0]!, ...args.slice(1))
    } catch (error) {
      this.#failure = error as Error
      return { err: 'ERR not modelled' }
    }
  }

  #load(text: string, name: string): void {
    const at = this.#lua._malloc(text.length + 1)
    this.#memory().write(text, at, 'latin1')
    const failed = this.#lua._luaL_loadbuffer(this.#state, at, text.length, this.#name(name))
    this.#lua._free(at)
    if (failed !== 0) throw new Error(this.#text(-1))
  }

  #run(args: number): void {
    if (this.#lua._lua_pcall(this.#state, args, 1, 0) !== 0) throw new Error(this.#text(-1))
  }

  /** Pushes a function that gets the texts of its arguments, and answers with how many
   *  values it pushed. */
  #host(body: (args: string[]) => number): void {
    const pointer = this.#lua.addFunction((state) => {
      const args = Array.from({ length: this.#lua._lua_gettop(state) }, (_, i) =>
        this.#argument(i + 1)
      )
      return body(args)
    }, 'ii')
    this.#lua._lua_pushcclosure(this.#state, pointer, 0)
  }

  /** Redis writes numbers with 17 digits at most. */
  #argument(index: number): string {
    if (this.#lua._lua_type(this.#state, index) !== Number(Type.Number)) return this.#text(index)
    const value = this.#lua._lua_tonumber(this.#state, index)
    if (Math.abs(value) === Infinity) return value > 0 ? 'inf' : '-inf'
    return String(Number.isInteger(value) ? value : Number(value.toPrecision(17)))
  }

  /** A value as a script gets it: no string is false, and answers 1. */
  #push(reply: Reply): number {
    const { _lua_createtable, _lua_pushboolean, _lua_pushnumber, _lua_rawseti, _lua_setfield } =
      this.#lua
    if (reply === null) _lua_pushboolean(this.#state, 0)
    else if (typeof reply === 'number') _lua_pushnumber(this.#state, reply)
    else if (typeof reply === 'string') this.#pushString(reply)
    else if (Array.isArray(reply)) {
      _lua_createtable(this.#state, reply.length, 0)
      reply.forEach((each, i) => {
        this.#push(each)
        _lua_rawseti(this.#state, -2, i + 1)
      })
    } else {
      const [[name, text]] = Object.entries(reply) as [[string, string]]
      _lua_createtable(this.#state, 0, 1)
      this.#pushString(text)
      _lua_setfield(this.#state, -2, this.#name(name))
    }
    return 1
  }

  #pushString(text: string): void {
    const at = text.length > ROOM ? this.#lua._malloc(text.length) : this.#room + 4
    this.#memory().write(text, at, 'latin1')
    this.#lua._lua_pushlstring(this.#state, at, text.length)
    if (text.length > ROOM) this.#lua._free(at)
  }

  /** As Redis replies: numbers without a fraction, tables up to their first nil. */
  #reply(index: number): Reply {
    const lua = this.#lua
    const type = lua._lua_type(this.#state, index) as Type
    if (type === Type.Number) return Math.trunc(lua._lua_tonumber(this.#state, index))
    if (type === Type.String) return this.#text(index)
    if (type === Type.Boolean) return lua._lua_toboolean(this.#state, index) ? 1 : null
    if (type !== Type.Table) return null
    for (const name of ['err', 'ok'] as const) {
      lua._lua_getfield(this.#state, index, this.#name(name))
      const text =
        lua._lua_type(this.#state, -1) === Number(Type.String) ? this.#text(-1) : undefined
      lua._lua_settop(this.#state, -2)
      if (text !== undefined) return name === 'err' ? { err: text } : { ok: text }
    }
    const items: Reply[] = []
    for (;;) {
      lua._lua_rawgeti(this.#state, index, items.length + 1)
      const ended = lua._lua_type(this.#state, -1) === Number(Type.Nil)
      if (!ended) items.push(this.#reply(lua._lua_gettop(this.#state)))
      lua._lua_settop(this.#state, -2)
      if (ended) return items
    }
  }

  #text(index: number): string {
    const at = this.#lua._lua_tolstring(this.#state, index, this.#room)
    const length = this.#lua.HEAPU32[this.#room >> 2]!
    return this.#memory().toString('latin1', at, at + length)
  }

  /** A name as C wants it, made once. */
  #name(name: string): number {
    const known = this.#names.get(name)
    if (known !== undefined) return known
    const at = this.#lua._malloc(name.length + 1)
    this.#memory().write(`${name}\0`, at, 'latin1')
    this.#names.set(name, at)
    return at
  }

  /** The memory of Lua, which moves as it grows. */
  #memory(): Buffer {
    if (this.#bytes.buffer !== this.#lua.HEAPU8.buffer)
      this.#bytes = Buffer.from(this.#lua.HEAPU8.buffer)
    return this.#bytes
  }
}

/** As cjson does: / is escaped, and bytes above 127 are not. */
function encoded(text: string): string {
  const short: Record<string, string> = {
    '\b': 'b',
    '\f': 'f',
    '\n': 'n',
    '\r': 'r',
    '\t': 't'
  }
  const escape = (each: string): string => {
    if (/["\\/]/.test(each)) return `\\${each}`
    return `\\${short[each] ?? `u${each.charCodeAt(0).toString(16).padStart(4, '0')}`}`
  }
  // eslint-disable-next-line no-control-regex
  return `"${text.replace(/["\\/\u0000-\u001f\u007f]/g, escape)}"`
}

/** Names and values by turns; nothing where it is no JSON. */
function decoded(text: string): (string | number)[] {
  let object: Record<string, string | number>
  try {
    object = JSON.parse(Buffer.from(text, 'latin1').toString()) as typeof object
  } catch {
    return []
  }
  const bytes = (value: string): string => Buffer.from(value).toString('latin1')
  return Object.entries(object).flatMap(([name, value]) => [
    bytes(name),
    typeof value === 'string' ? bytes(value) : value
  ])
}
