import { TestEnvironment } from 'jest-environment-node'
import * as wasmoon from 'wasmoon-lua5.1'

/** Node, with the Lua of lua-vm.ts: it calls import(), which no module can that jest loads. */
export default class LuaEnvironment extends TestEnvironment {
  override async setup(): Promise<void> {
    await super.setup()
    this.global.wasmoon = wasmoon
  }
}
