import { onACluster, theMethods } from './methods'

onACluster({ spread: true })
theMethods()
