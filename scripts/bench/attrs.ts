/** What tokens carry here: JSON text of 63 bytes. */
export type Attrs = Record<string, string>

export const ATTRS: Attrs = {
  name: 'Ada',
  role: 'admin',
  device: 'phone',
  ip: '192.0.2.7'
}

export const CHANGED: Attrs = { ...ATTRS, role: 'guest', ip: '192.0.2.8' }
