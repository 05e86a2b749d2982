import { partitioned } from '../../src/layout'
import { topology } from '../methods/support'
import { theMethods } from './methods'

topology.config = { partitioned: true }
topology.layout = partitioned
theMethods()
