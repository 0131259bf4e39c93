package main

import (
	"crypto/tls"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// metric sums a counter over the pods of a component, as those with a health port tell it.
func (c *cluster) metric(component, name string) (float64, error) {
	addresses, err := c.kubectl("-n", system, "get", "pods", "-l", "app.kubernetes.io/component="+component, "-o", "jsonpath={.items[*].status.podIP}")
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, address := range strings.Fields(addresses) {
		one, err := c.metricOf(address, func(metric string) bool { return metric == name })
		if err != nil {
			return 0, err
		}
		sum += one
	}
	return sum, nil
}

// metricOf is the sum of the metrics that are meant, of one pod; nothing where there is none.
func (c *cluster) metricOf(address string, meant func(string) bool) (float64, error) {
	text, err := c.inNetwork(c.stage.dir+"/workload", "get", "http://"+address+":15021/metrics")
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for line := range strings.Lines(text) {
		at := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		if at < 0 || !meant(line[:at]) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, nil
}

// grows shows that something makes a counter larger.
func (c *cluster) grows(component, name string, by float64, do func() error) error {
	before, err := c.metric(component, name)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	after, err := c.metric(component, name)
	if err == nil && after < before+by {
		err = fmt.Errorf("%s was %v and is %v", name, before, after)
	}
	return err
}

// stranger is a caller that west has to turn away.
type stranger struct {
	what         string
	certificates []tls.Certificate
	// link is that to which the metric counts it, label and reason are why.
	link, label, reason string
}

func strangersRefused(s *stage) error {
	own, err := s.east.authority()
	if err != nil {
		return err
	}
	const account = "/ns/" + system + "/sa/spanway-gateway"
	soon := time.Now().Add(time.Hour)
	one := func(certificate tls.Certificate) []tls.Certificate { return []tls.Certificate{certificate} }
	for _, caller := range []stranger{
		{"an SVID of another CA", one(foreign().gateway("east.test")), "east", "not_in_bundle", "NotInBundle"},
		{"an SVID of another account", one(own.sign("east.test", "/ns/shop/sa/default", soon)), "east", "not_a_gateway", "NotAGateway"},
		{"an SVID of another trust domain", one(own.sign("other.test", account, soon)), "east", "unknown_trust_domain", "UnknownTrustDomain"},
		{"an expired SVID", one(own.sign("east.test", account, time.Now().Add(-time.Minute))), "east", "expired", "CertificateExpired"},
		{"no certificate", nil, "unknown", "no_certificate", "NoCertificate"},
	} {
		if err := s.refusedEverywhere(caller); err != nil {
			return fmt.Errorf("%s: %w", caller.what, err)
		}
	}
	// The same ways are open to a gateway.
	valid := own.gateway("east.test")
	for _, protocol := range []string{protocolCalls, protocolCatalog} {
		if turnedAway(s.west.linkAddress()+":15443", protocol, valid) == nil {
			return fmt.Errorf("a gateway of east was turned away too, from %s", protocol)
		}
	}
	return s.foreignTokenRefused()
}

func (s *stage) refusedEverywhere(caller stranger) error {
	counter := fmt.Sprintf(`spanway_refused_peers_total{link=%q,reason=%q}`, caller.link, caller.label)
	protocols := []string{protocolCalls, protocolCatalog}
	err := s.west.grows("gateway", counter, float64(len(protocols)), func() error {
		for _, protocol := range protocols {
			if err := turnedAway(s.west.linkAddress()+":15443", protocol, caller.certificates...); err != nil {
				return fmt.Errorf("%s: %w", protocol, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return eventually("the link of west says why", func() error {
		const refused = `{.status.conditions[?(@.type=="PeersRefused")]`
		said := s.west.get("", "clusterlink/east", refused+".status} "+refused+".message}")
		status := "True"
		if caller.link != "east" {
			// Of whom nobody can say who it is, every link tells, and none counts it as its own.
			status = ""
		}
		if !strings.HasPrefix(said, status) || !strings.Contains(said, caller.reason) {
			return fmt.Errorf("PeersRefused: %s", said)
		}
		return nil
	})
}

// foreignTokenRefused shows that the audience of a token alone opens nothing.
func (s *stage) foreignTokenRefused() error {
	token, err := s.east.token(shop, "default")
	if err != nil {
		return err
	}
	const counter = `spanway_certificates_not_issued_total{reason="not_on_the_list"}`
	err = s.east.grows("controller", counter, 1, func() error {
		_, said, err := s.east.issue(token)
		if err == nil && (said.Status != grpcRefused || len(said.Chain) > 0) {
			err = fmt.Errorf("a token of a pod of shop got status %s (%s) and %d certificates", said.Status, said.Message, len(said.Chain))
		}
		return err
	})
	if err != nil {
		return err
	}
	_, err = s.east.gatewayCertificate()
	return err
}
