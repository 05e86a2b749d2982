import { methodsOf } from './methods'

/**
 * Gives an object, for every method of a prototype, one of its own that calls the inherited
 * one on it: taken off the object, or called through a Proxy, which has none of its private
 * fields, it still works.
 */
export function bindMethods(object: object, prototype: object): void {
  for (const [, name] of methodsOf(prototype)) {
    // Looked up at each call, so that a subclass's counts, and a test's on the prototype.
    const value = (...args: unknown[]): unknown => inherited(object, name).apply(object, args)
    Object.defineProperty(value, 'name', { value: name })
    Object.defineProperty(object, name, { value, writable: true, configurable: true })
  }
}

function inherited(object: object, name: string): (...args: unknown[]) => unknown {
  const prototype = Object.getPrototypeOf(object) as object
  return Reflect.get(prototype, name, object) as (...args: unknown[]) => unknown
}
