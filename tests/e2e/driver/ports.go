package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

const (
	// A namespace of its own, because the rule that makes mirrored Services, which need ports too, is
	// kept away from it.
	swap = "swap"
	// The only port of the range: one that nobody had before.
	onlyPort = "31999"
)

// swapped is a service of that name in west, and its pod.
func swapped(name string) string {
	return strings.ReplaceAll(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: swap}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      terminationGracePeriodSeconds: 1
      containers:
      - name: NAME
        image: spanway.test/workload:e2e
        imagePullPolicy: Never
        args: [serve]
        env: [{name: CLUSTER, value: west}, {name: APP, value: NAME}]
        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: swap}
spec:
  selector: {app: NAME}
  ports: [{name: http, port: 80, targetPort: 8080, appProtocol: http}]
---
`, "NAME", name)
}

const swapNamespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: swap, labels: {pod-security.kubernetes.io/enforce: restricted}}\n---\n"

func (c *cluster) mirrorOnlyIn(namespaces string) error {
	_, err := c.kubectl("patch", "clusterlink/"+c.other().name, "--type=merge", "-p",
		`{"spec":{"import":{"rules":[{"name":"{service}","namespaces":{"names":[`+namespaces+`]}}]}}}`)
	return err
}

// portChangesHands replaces export `a` by export `b` where both need the same port of the gateways.
func portChangesHands(s *stage) error {
	err := s.prepareSwap()
	if err == nil {
		err = s.swapUnderLoad()
	}
	for _, c := range s.clusters() {
		if _, undone := c.kubectl("delete", "namespace", swap, "--ignore-not-found", "--wait=false"); err == nil {
			err = undone
		}
	}
	if undone := s.east.mirrorOnlyIn(""); err == nil {
		err = undone
	}
	return err
}

func (s *stage) prepareSwap() error {
	if err := s.east.mirrorOnlyIn(`"` + shop + `"`); err != nil {
		return err
	}
	if err := s.east.reinstall("ports.first="+onlyPort, "ports.last="+onlyPort, "ports.rest=3s"); err != nil {
		return err
	}
	if err := s.east.apply(swapNamespace); err != nil {
		return err
	}
	if err := s.west.apply(swapNamespace + swapped("a") + swapped("b") + exported("a")); err != nil {
		return err
	}
	return s.west.rolled(swap, "a", "b")
}

func exported(name string) string {
	return strings.ReplaceAll(exportOf(name), "namespace: shop", "namespace: "+swap)
}

// imported waits until calls to the address of an import arrive, and gives that.
func (s *stage) imported(name string) (string, error) {
	url := ""
	err := eventually("the import of "+name+" has an address", func() error {
		address := s.east.get(swap, "serviceimport/"+name, "{.spec.ips[0]}")
		url = "http://" + address
		if address == "" {
			return fmt.Errorf("it has none")
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return url, s.east.answered(url, name, "west")
}

// portOwner is who has the one port, by the record of the leader.
func (s *stage) portOwner() string {
	var records struct {
		Items []struct{ Data map[string]string }
	}
	text, err := s.east.kubectl("-n", system, "get", "configmaps", "-o", "json")
	if err != nil || json.Unmarshal([]byte(text), &records) != nil {
		return ""
	}
	for _, one := range records.Items {
		if record, found := one.Data[onlyPort]; found {
			return record
		}
	}
	return ""
}

func (s *stage) swapUnderLoad() error {
	toA, err := s.imported("a")
	if err != nil {
		return err
	}
	first := s.portOwner()
	begun, err := s.east.begin(toA, 200, map[string]string{"clients": "16"})
	if err != nil {
		return err
	}
	// One has made a call on its connection, one has only opened it.
	held := []string{"used", "silent"}
	for _, kind := range held {
		if _, err := s.east.client("/stream/start", map[string]string{"name": kind, "kind": kind, "url": toA}); err != nil {
			return err
		}
	}
	if _, err := s.east.client("/made", map[string]string{"name": begun.name, "least": "200"}); err != nil {
		return err
	}
	exchanged := s.exchange(first)
	made, ended := begun.end(0)
	if exchanged != nil {
		return exchanged
	}
	if ended != nil {
		return ended
	}
	fmt.Printf("           calls to a: %s, by service %v, failed as %v\n", made, made.Apps, made.FailedAs)
	if made.Apps["a"] < 100 || made.Failures == 0 || len(made.Apps) > 1 {
		return fmt.Errorf("of the calls to a %v were answered, %d were not", made.Apps, made.Failures)
	}
	for _, kind := range held {
		text, err := s.east.client("/stream/stop", map[string]string{"name": kind})
		if err != nil {
			return err
		}
		fmt.Printf("           a %s connection to a, once b has the port: %s", kind, text)
		if strings.Contains(text, `\"app\":\"b\"`) {
			return fmt.Errorf("a %s connection to a reached b: %s", kind, text)
		}
	}
	return nil
}

// exchange ends export a and begins export b, and waits until b has the port and calls of its own.
func (s *stage) exchange(first string) error {
	if err := s.west.remove(swap, "serviceexport/a"); err != nil {
		return err
	}
	if err := s.west.apply(exported("b")); err != nil {
		return err
	}
	// The port rests, so that there is none for b.
	state := func() string {
		return s.east.condition(swap, "serviceimport/b", ".status.conditions", "PortsBound")
	}
	if err := is("no port is left for b", "False/PortsExhausted", state); err != nil {
		return err
	}
	toB, err := s.imported("b")
	if err != nil {
		return err
	}
	if second := s.portOwner(); first == "" || second == "" || second == first {
		return fmt.Errorf("the port %s was recorded as %q, then as %q", onlyPort, first, second)
	}
	// More than once, as gateways follow one after the other.
	other, err := s.east.begin(toB, 200, map[string]string{"clients": "16"})
	if err != nil {
		return err
	}
	made, err := other.end(1000)
	if err == nil && (made.Failures > 0 || made.Apps["b"] != made.Requests) {
		err = fmt.Errorf("calls to b: %s, by service %v\n%s", made, made.Apps, strings.Join(made.Errors, "\n"))
	}
	return err
}
