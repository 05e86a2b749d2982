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
  topologyTokens: 100_000
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
  topologyTokens: 2_000
}
