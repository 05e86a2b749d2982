export default async function teardown(): Promise<void> {
  await (globalThis as unknown as { __stopRedis(): Promise<void> }).__stopRedis()
}
