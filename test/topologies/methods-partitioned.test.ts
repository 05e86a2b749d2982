import { partitioned } from '../../src/layout'
import { topology } from '../methods/helper'
import { theMethods } from './methods'

topology.config = { partitioned: true }
topology.layout = partitioned
theMethods()
