const opened: (() => Promise<unknown>)[] = []

/**
 * Has this called when the tests of the file are over, before what was opened earlier is closed.
 */
export function closeLater(close: () => Promise<unknown>): void {
  opened.push(close)
}

/**
 * Closes what the helpers of this folder opened; every test file that opens something calls it
 * once.
 */
export function closeAfterAll(): void {
  afterAll(async () => {
    for (const close of opened.splice(0).reverse()) await close()
  })
}
