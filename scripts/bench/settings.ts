/** How much is measured. */
export interface Settings {
  quick: boolean
  rounds: number
  /** Milliseconds of one slice; a round has two per contender and cell. */
  ms: number
  standing: number
  memoryTokens: number
  scriptRounds: number
  resets: number[]
  resetRounds: number
  growth: [small: number, large: number]
  growthSteps: number
  topologyTokens: number
  cache: CacheSettings
}

export interface CacheSettings {
  /** Tokens of which some are drawn, and how many of them the caches keep. */
  drawn: number
  sizes: number[]
  drawRounds: number
  /** Milliseconds of a slice of draws, and of load. */
  drawMs: number
  loadMs: number
  loadRounds: number
  /** Tokens under load, how many are in use, and how many are kept. */
  loaded: number
  hot: number
  max: number
  revocations: number
}

export const FULL: Settings = {
  quick: false,
  rounds: 9,
  ms: 120,
  standing: 10_000,
  memoryTokens: 50_000,
  scriptRounds: 25,
  resets: [10_000, 100_000],
  resetRounds: 3,
  growth: [1_000, 1_000_000],
  growthSteps: 40,
  topologyTokens: 100_000,
  cache: {
    drawn: 100_000,
    sizes: [100, 1_000, 10_000, 100_000],
    drawRounds: 7,
    drawMs: 200,
    loadMs: 1_000,
    loadRounds: 5,
    loaded: 40_000,
    hot: 5_000,
    max: 10_000,
    revocations: 10_000
  }
}

export const QUICK: Settings = {
  quick: true,
  rounds: 2,
  ms: 25,
  standing: 2_000,
  memoryTokens: 5_000,
  scriptRounds: 3,
  resets: [500, 2_000],
  resetRounds: 2,
  growth: [1_000, 20_000],
  growthSteps: 5,
  topologyTokens: 2_000,
  cache: {
    drawn: 4_000,
    sizes: [40, 400, 4_000],
    drawRounds: 2,
    drawMs: 50,
    loadMs: 300,
    loadRounds: 1,
    loaded: 8_000,
    hot: 1_000,
    max: 2_000,
    revocations: 100
  }
}
