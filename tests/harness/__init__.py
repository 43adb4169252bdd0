# SPDX-License-Identifier: Apache-2.0
"""Real daemons, real peers, private network namespaces.

proc     programs: start, wait for an event, stop exactly what was started
net      network namespaces joined by veth
capture  every packet of a namespace, and what must not be in it
db       a private PostgreSQL cluster
install  the build in a private prefix, service users
gate     one Gatehouse: configuration, keeper, database, log, CDRs
sipp, baresip, linphone, sip    peers
audio    speech and the judge
world    all of it together: what a scenario gets
cases    declaring scenarios; runner  runs them
"""
