package main

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// No part of these clusters enforces a NetworkPolicy, so that the rules are evaluated here: against
// each port that a pod of ours listens on, and against each connection that it has.

type policy struct {
	Metadata struct{ Name string }
	Spec     struct {
		PodSelector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"podSelector"`
		Ingress, Egress []policyRule
	}
}

type policyRule struct {
	From, To []any
	Ports    []struct {
		Protocol string
		Port     any
		EndPort  int `json:"endPort"`
	}
}

type ourPod struct {
	Metadata struct {
		Name, UID string
		Labels    map[string]string
	}
	Spec struct {
		Containers []struct {
			Ports []struct {
				Name          string
				ContainerPort int `json:"containerPort"`
			}
		}
	}
}

// Names of containers' ports stand for their numbers, here or at the other end.
var namedPorts = map[string]int{"link": 15443, "health": 15021, "control": 15012}

func (p policy) selects(pod ourPod) bool {
	for name, value := range p.Spec.PodSelector.MatchLabels {
		if pod.Metadata.Labels[name] != value {
			return false
		}
	}
	return true
}

func (r policyRule) allows(port int) bool {
	for _, one := range r.Ports {
		first := 0
		switch value := one.Port.(type) {
		case nil:
			return true
		case float64:
			first = int(value)
		case string:
			first = namedPorts[value]
		}
		if one.Protocol != "UDP" && port >= first && port <= max(first, one.EndPort) {
			return true
		}
	}
	return len(r.Ports) == 0
}

func policyNamesAll(s *stage) error {
	begun, err := s.mixed(100, "33")
	if err != nil {
		return err
	}
	return during(100, func() error {
		for _, c := range s.clusters() {
			if err := c.policyNamesAll(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		return nil
	}, begun...)
}

func (c *cluster) policyNamesAll() error {
	var policies struct{ Items []policy }
	var pods struct{ Items []ourPod }
	for object, into := range map[string]any{"networkpolicies": &policies, "pods": &pods} {
		text, err := c.kubectl("-n", system, "get", object, "-o", "json")
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), into); err != nil {
			return err
		}
	}
	var problems []string
	bound, connections := 0, 0
	for _, pod := range pods.Items {
		chosen, denied := []policy{}, false
		for _, one := range policies.Items {
			if one.selects(pod) {
				chosen = append(chosen, one)
				denied = denied || len(one.Spec.Ingress)+len(one.Spec.Egress) == 0
			}
		}
		if !denied {
			problems = append(problems, pod.Metadata.Name+": no policy denies what none names")
		}
		sockets, err := c.socketsOf(pod)
		if err != nil {
			return err
		}
		listening := map[int]bool{}
		for _, one := range sockets {
			if one.listening && !one.local.IsLoopback() {
				listening[one.localPort] = true
			}
		}
		for port := range listening {
			bound++
			if !allowed(chosen, port, func(p policy) []policyRule { return p.Spec.Ingress }) {
				problems = append(problems, fmt.Sprintf("%s listens on %d, which no rule lets in", pod.Metadata.Name, port))
			}
		}
		for _, one := range sockets {
			if one.listening || one.remote.IsLoopback() {
				continue
			}
			connections++
			if !listening[one.localPort] && !allowed(chosen, one.remotePort, func(p policy) []policyRule { return p.Spec.Egress }) {
				problems = append(problems, fmt.Sprintf("%s is connected to %s:%d, which no rule lets out", pod.Metadata.Name, one.remote, one.remotePort))
			}
		}
	}
	fmt.Printf("           %s: %d ports bound, %d connections of %d pods\n", c.name, bound, connections, len(pods.Items))
	if bound == 0 || connections == 0 {
		problems = append(problems, "nothing was seen")
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s", strings.Join(problems, "\n"))
	}
	return nil
}

func allowed(policies []policy, port int, rules func(policy) []policyRule) bool {
	for _, one := range policies {
		for _, rule := range rules(one) {
			if rule.allows(port) {
				return true
			}
		}
	}
	return false
}

type socket struct {
	local, remote         net.IP
	localPort, remotePort int
	listening             bool
}

// socketsOf reads the sockets of a pod in its own network, which is that of any process there.
func (c *cluster) socketsOf(pod ourPod) ([]socket, error) {
	text, err := socketTables(pod.Metadata.UID)
	if err != nil {
		return nil, err
	}
	var sockets []socket
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasSuffix(fields[0], ":") {
			continue
		}
		const established, listen = "01", "0A"
		if fields[3] != established && fields[3] != listen {
			continue
		}
		one := socket{listening: fields[3] == listen}
		one.local, one.localPort = address(fields[1])
		one.remote, one.remotePort = address(fields[2])
		sockets = append(sockets, one)
	}
	return sockets, nil
}

// address reads `0100007F:3A98` and its longer form: 32-bit words in the machine's order.
func address(text string) (net.IP, int) {
	digits, port, _ := strings.Cut(text, ":")
	ip := make(net.IP, len(digits)/2)
	for at := range ip {
		value, _ := strconv.ParseUint(digits[at*2:at*2+2], 16, 8)
		ip[at/4*4+3-at%4] = byte(value)
	}
	number, _ := strconv.ParseUint(port, 16, 16)
	return ip, int(number)
}
