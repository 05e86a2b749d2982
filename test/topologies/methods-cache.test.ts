import { topology } from '../methods/support'
import { theMethods } from './methods'

topology.config = { cache: true }
theMethods()
