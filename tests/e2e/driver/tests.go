package main

// tests in the order in which they run: the later ones disturb more.
func tests() []test {
	return []test{
		{"a pod of east calls a service that only west runs, and no plain HTTP passes between the nodes", callsAcross},
		{"gRPC streams and a WebSocket across the link live through config swaps", streamsLive},
		{"server-first, late HTTP, half-closing and TLS clients work through the mirrored Service", otherProtocols},
		{"an import goes and comes with its ServiceExport, and the far gateways refuse meanwhile", exportGoesAndComes},
		{"every port bound and every connection of our pods is one that the NetworkPolicy names", policyNamesAll},
		{"Secrets are read where a Gateway refers to them and nowhere else", secretsOnlyWhereReferred},
		{"weights and a header match split between local and remote pods, called through the mirrored Service", splitsMirrored},
		{"weights and a header match split between local and remote pods, called through a Gateway", splitsGateway},
		{"no call fails and none runs twice while remote pods are rolled out, scaled and deleted", remotePodsChange},
		{"only POSTs that had been sent fail and none runs twice while remote pods end at once", remotePodsEndAtOnce},
		{"no call fails while routes and endpoints change, and none is answered by a withdrawn rule", routesChange},
		{"no answer is wrong while changes of routes and endpoints are followed one by one", propagationShown},
		{"broken objects get conditions with the right reasons, and their neighbours none", brokenObjects},
		{"a Service of the user's over the mirrored one stays the user's", usersService},
		{"a peer of another CA or with another account is refused, and the link says why", wrongTrust},
		{"whoever is no gateway of a link is refused, and condition and metric say why", strangersRefused},
		{"no call fails while gateways are rolled out", gatewaysRoll},
		{"no call fails while controllers are rolled out", controllersRoll},
		{"no call fails while gateways are rolled out and the leader's process is killed", leaderKilled},
		{"no call fails while gateways and controllers are rolled out and the leader's pod is taken away", allRoll},
		{"no call fails while an API server is away, and the cluster catches up without a restart", apiServerAway},
		{"a service behind a Gateway with the policy Local learns the client's address", clientsAddress},
		{"no call reaches the service that got the port of one that is exported no more", portChangesHands},
		{"no call fails while authorities and API servers are away, and certificates are renewed after", authorityAway},
	}
}

// notYet are rules that do not hold yet. They run only when they are asked for by name, and every
// run says so.
func notYet() []test {
	return []test{}
}
