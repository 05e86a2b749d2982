/** What is drawn of a report. */
import { titleOf } from './contenders'
import { listOps } from './lists'
import type { Memory } from './memory'
import { machineLine, type Report } from './report'
import type { Cell } from './speed'
import { median } from './statistics'
import { svg, type Chart, type Series } from './svg'

type Group = [op: string, inFlight: number]

const thousands = (value: number): string => `${(value / 1000).toFixed(1)} k`
const times = (value: number): string => `${value.toFixed(2)} x`
const us = (value: number): string => value.toFixed(value < 100 ? 1 : 0)
const TO_PLAIN = 'Throughput as a multiple of plain ioredis commands that do the same job'

/** File name and text of every chart. */
export function charts(report: Report): Record<string, string> {
  const footer = machineLine(report)
  const all: Record<string, Omit<Chart, 'footer'>> = {
    'getkey.svg': getKey(report),
    'cpu.svg': cpu(report),
    'writes.svg': writes(report),
    'list.svg': lists(report),
    'server.svg': server(report),
    'memory.svg': memory(report),
    'reset.svg': reset(report)
  }
  const drawn = Object.entries(all).map(([file, chart]) => [file, svg({ ...chart, footer })])
  return Object.fromEntries(drawn) as Record<string, string>
}

function series(name: string, values: (number | number[] | null)[]): Series {
  return { name: titleOf(name), own: name === 'tokenstore', values }
}

function ofCells(
  { cells }: Report,
  groups: Group[],
  of: (cell: Cell) => number | number[]
): Series[] {
  const names = [...new Set(cells.map(({ contender }) => contender))]
  const all = names.map((name) =>
    series(
      name,
      groups.map(([op, inFlight]) => {
        const cell = cells.find(
          (c) => c.contender === name && c.op === op && c.inFlight === inFlight
        )
        return cell ? of(cell) : null
      })
    )
  )
  return all.filter(({ values }) => values.some((value) => value !== null))
}

function getKey(report: Report): Omit<Chart, 'footer'> {
  const levels = [1, 16, 64, 256].map((inFlight): Group => ['getKey', inFlight])
  return {
    title: 'Validating a token: getKey',
    note: 'Calls per second, thousands; longer is better',
    groups: levels.map(([, inFlight]) => `${inFlight} in flight`),
    series: ofCells(report, levels, ({ throughput }) => throughput),
    format: thousands
  }
}

function cpu(report: Report): Omit<Chart, 'footer'> {
  const levels = [64, 256].map((inFlight): Group => ['getKey', inFlight])
  return {
    title: 'CPU time of one getKey: client + server',
    note: 'Microseconds; shorter is better',
    groups: levels.map(([, inFlight]) => `${inFlight} in flight`),
    series: ofCells(report, levels, ({ clientCpu, serverCpu }) => [clientCpu, serverCpu]),
    format: us
  }
}

function writes(report: Report): Omit<Chart, 'footer'> {
  const groups = ['add', 'set', 'del'].map((op): Group => [op, 256])
  return {
    title: 'Writing: add, set, del with 256 in flight',
    note: `${TO_PLAIN}; longer is better. connect-redis keeps no index`,
    groups: groups.map(([op]) => op),
    series: ofCells(report, groups, ({ ratio }) => ratio),
    format: times
  }
}

function lists(report: Report): Omit<Chart, 'footer'> {
  const groups = listOps.map((op): Group => [op, 1])
  return {
    title: "An owner's tokens: list, one call at a time",
    note: `${TO_PLAIN}; longer is better`,
    groups: listOps.map((op) => op.replace('list', 'list of').replace('ttl', 'with a ttl')),
    series: ofCells(report, groups, ({ ratio }) => ratio),
    format: times
  }
}

function server({ scripts }: Report): Omit<Chart, 'footer'> {
  // Those of many tokens would leave the others no room.
  const calls = Object.entries(scripts.times).filter(
    ([call]) => !/of 32|(list|delowner) of 1000/.test(call)
  )
  return {
    title: 'Time of a call in the server',
    note: 'Microseconds, without the socket; shorter is better',
    groups: [''],
    series: calls.map(([name, rounds]) => ({
      name,
      own: name !== 'plain GET',
      values: [median(rounds)]
    })),
    format: us
  }
}

function memory({ memory }: Report): Omit<Chart, 'footer'> {
  const kinds = memory.filter(({ contender }) => contender === 'tokenstore')
  const names = [...new Set(memory.map(({ contender }) => contender))]
  const bytes = (name: string, kind: Memory): number | null =>
    memory.find(
      ({ contender, attrsBytes, perOwner }) =>
        contender === name && attrsBytes === kind.attrsBytes && perOwner === kind.perOwner
    )?.bytes ?? null
  return {
    title: 'Memory of Redis per token',
    note: 'Bytes; shorter is better. connect-redis keeps no ids and no index',
    groups: kinds.map(
      ({ attrsBytes, perOwner }) => `attrs of ${attrsBytes} bytes, ${perOwner} per owner`
    ),
    series: names.map((name) =>
      series(
        name,
        kinds.map((kind) => bytes(name, kind))
      )
    ),
    format: (value) => value.toFixed(0)
  }
}

function reset({ resets }: Report): Omit<Chart, 'footer'> {
  const most = Math.max(...resets.map(({ tokens }) => tokens))
  return {
    title: `Removing ${most} tokens: how long everybody else waits`,
    note: 'Longest PING of a bystander in milliseconds; shorter is better',
    groups: [''],
    series: resets
      .filter(({ tokens }) => tokens === most)
      .map(({ contender, ping }) => series(contender, [ping])),
    format: (value) => value.toFixed(1)
  }
}
