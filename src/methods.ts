/**
 * The methods of a class and of those that it extends, each with the prototype that it is on.
 * Without those named by a symbol.
 */
export function* methodsOf(prototype: object): Generator<[on: object, name: string]> {
  for (let on = prototype; on !== Object.prototype; on = Object.getPrototypeOf(on) as object) {
    for (const name of Object.getOwnPropertyNames(on)) {
      if (name !== 'constructor') yield [on, name]
    }
  }
}
