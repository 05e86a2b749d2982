import { onACluster, theMethods } from './methods'

onACluster({ spread: false })
theMethods()
