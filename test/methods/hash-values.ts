import { attrsToCarry } from './helper'

/** Any JSON value can be kept under a hash. */
export const valuesToCarry: Record<string, unknown> = {
  ...attrsToCarry,
  'a text': 'foo',
  'an empty text': '',
  'text that is JSON': '{"a":1}',
  'a lone surrogate': '\ud800',
  'a number': 42,
  zero: 0,
  'a negative one': -1,
  'a fraction': -0.25,
  'a huge one': 1.7976931348623157e308,
  'a tiny one': 5e-324,
  'a large integer': Number.MAX_SAFE_INTEGER,
  'NaN, which JSON makes null': NaN,
  true: true,
  false: false,
  null: null,
  'an empty array': [],
  'an array': [1, 'a', null, [], {}],
  'a list of lone surrogates': ['\udfff'],
  'a Date, which JSON makes text': new Date(0),
  '900 arrays deep': JSON.parse('['.repeat(900) + ']'.repeat(900))
}
