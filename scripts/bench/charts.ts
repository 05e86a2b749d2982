/** What is drawn of a report. */
import { isOwn, titleOf } from './contenders'
import { listOps } from './lists'
import type { Memory } from './memory'
import type { Measured } from './measure'
import { machineLine, type Place, type Report } from './report'
import { IN_FLIGHT, type Cell } from './speed'
import { median } from './statistics'
import { svg, type Chart, type Series } from './svg'

type Group = [op: string, inFlight: number]
export type Drawing = Omit<Chart, 'footer'>

export const thousands = (value: number): string => `${(value / 1000).toFixed(1)} k`
const times = (value: number): string => `${value.toFixed(2)} x`
const us = (value: number): string => value.toFixed(value < 100 ? 1 : 0)
const TO_PLAIN = 'Throughput as a multiple of plain ioredis commands that do the same job'

/** File name and text of every chart. */
export function charts(report: Report<Measured>): Record<string, string> {
  return drawn(report, {
    'getkey.svg': getKey(report),
    'cpu.svg': cpu(report),
    'writes.svg': writes(report),
    'list.svg': lists(report),
    'server.svg': server(report),
    'memory.svg': memory(report),
    'reset.svg': reset(report)
  })
}

export function drawn(report: Report<Place>, all: Record<string, Drawing>): Record<string, string> {
  const footer = machineLine(report)
  return Object.fromEntries(
    Object.entries(all).map(([file, chart]) => [file, svg({ ...chart, footer })])
  )
}

function series(name: string, values: (number | number[] | null)[]): Series {
  return { name: titleOf(name), own: isOwn(name), values }
}

function ofCells(cells: Cell[], groups: Group[], of: (cell: Cell) => number | number[]): Series[] {
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

function getKey(report: Report<Measured>): Drawing {
  return getKeyChart(report.cells, 'Validating a token: getKey')
}

export function getKeyChart(cells: Cell[], title: string): Drawing {
  const levels = IN_FLIGHT.map((inFlight): Group => ['getKey', inFlight])
  return {
    title,
    note: 'Calls per second, thousands; longer is better',
    groups: levels.map(([, inFlight]) => `${inFlight} in flight`),
    series: ofCells(cells, levels, ({ throughput }) => throughput),
    format: thousands
  }
}

function cpu(report: Report<Measured>): Drawing {
  const levels = [64, 256].map((inFlight): Group => ['getKey', inFlight])
  return {
    title: 'CPU time of one getKey: client + server',
    note: 'Microseconds; shorter is better',
    groups: levels.map(([, inFlight]) => `${inFlight} in flight`),
    series: ofCells(report.cells, levels, ({ clientCpu, serverCpu }) => [clientCpu, serverCpu]),
    format: us
  }
}

function writes(report: Report<Measured>): Drawing {
  const groups = ['add', 'set', 'del'].map((op): Group => [op, 256])
  return {
    title: 'Writing: add, set, del with 256 in flight',
    note: `${TO_PLAIN}; longer is better. connect-redis keeps no index`,
    groups: groups.map(([op]) => op),
    series: ofCells(report.cells, groups, ({ ratio }) => ratio),
    format: times
  }
}

function lists(report: Report<Measured>): Drawing {
  const groups = listOps.map((op): Group => [op, 1])
  return {
    title: "An owner's tokens: list, one call at a time",
    note: `${TO_PLAIN}; longer is better`,
    groups: listOps.map((op) => op.replace('list', 'list of').replace('ttl', 'with a ttl')),
    series: ofCells(report.cells, groups, ({ ratio }) => ratio),
    format: times
  }
}

function server({ scripts }: Report<Measured>): Drawing {
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

function memory({ memory }: Report<Measured>): Drawing {
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

function reset({ resets }: Report<Measured>): Drawing {
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
