package main

import (
	"fmt"
	"strings"
	"time"
)

const churnEvery = 10 * time.Millisecond

// Objects whose changes are followed. `moving` has no selector: its endpoints are what is written.
const (
	westMoving = `
apiVersion: v1
kind: Service
metadata: {name: moving, namespace: shop}
spec: {ports: [{name: http, port: 80, targetPort: 8080, appProtocol: http}]}
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: moving, namespace: shop}
`
	eastMoving = `
apiVersion: v1
kind: Service
metadata: {name: moving-near, namespace: shop}
spec: {ports: [{name: http, port: 80, targetPort: 8080, appProtocol: http}]}
`
	movingRoutes = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: propagated, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  hostnames: [route.test]
  rules:
  - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Version, value: "0"}]}}]
    backendRefs: [{name: near, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: moving-near, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  hostnames: [local.test]
  rules: [{backendRefs: [{name: moving-near, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: moving, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  hostnames: [remote.test]
  rules: [{backendRefs: [{group: multicluster.x-k8s.io, kind: ServiceImport, name: moving, port: 80}]}]
`
)

// sliceOf names one pod as the only endpoint of a service.
func sliceOf(service, address string) string {
	return fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-0, namespace: shop, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP, appProtocol: http}]
endpoints: [{addresses: [%[2]q], conditions: {ready: true}}]
`, service, address)
}

// setMoving makes the objects; where a gateway serves, and two pods of each cluster.
func (s *stage) setMoving() (string, map[*cluster][]pod, error) {
	pods := map[*cluster][]pod{}
	for c, app := range map[*cluster]string{s.east: "near", s.west: "web"} {
		made, err := c.twoPods(app)
		if err != nil {
			return "", nil, err
		}
		pods[c] = made
	}
	near, far := pods[s.east][0].address, pods[s.west][0].address
	if err := s.west.apply(westMoving + "---" + sliceOf("moving", far)); err != nil {
		return "", nil, err
	}
	objects := []string{edge, eastMoving, sliceOf("moving-near", near), movingRoutes, strings.ReplaceAll(eastMoving, "moving-near", "churn"), sliceOf("churn", near)}
	if err := s.east.apply(strings.Join(objects, "---")); err != nil {
		return "", nil, err
	}
	address := ""
	err := eventually("a gateway serves the Gateway", func() (err error) {
		address, err = s.east.servingPod("edge")
		return err
	})
	return address, pods, err
}

// servingPod is where one of the gateways serves a Gateway: from its own node nobody reaches a
// LoadBalancer address, which is the node's own there.
func (c *cluster) servingPod(gateway string) (string, error) {
	address := c.gatewayAddress(gateway)
	named := fmt.Sprintf("{.items[?(@.status.loadBalancer.ingress[0].ip==%q)].metadata.name}", address)
	service := c.get(system, "services", named)
	if address == "" || service == "" {
		return "", fmt.Errorf("address %q, Service %q", address, service)
	}
	slice := `{.items[0].endpoints[0].addresses[0]}:{.items[0].ports[0].port}`
	found, err := c.kubectl("-n", system, "get", "endpointslices", "-l", "kubernetes.io/service-name="+service, "-o", "jsonpath="+slice)
	found = strings.TrimSpace(found)
	// A slice may be there before its endpoints are.
	if host, port, _ := strings.Cut(found, ":"); err == nil && (host == "" || port == "") {
		err = fmt.Errorf("the slice of %s names %q", service, found)
	}
	return found, err
}

type pod struct{ name, address string }

func (c *cluster) twoPods(app string) ([]pod, error) {
	var found []pod
	err := eventually("two pods of "+app+" are ready", func() error {
		out, err := c.kubectl("-n", shop, "get", "pods", "-l", "app="+app, "--field-selector=status.phase=Running",
			"-o", `jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{"\n"}{end}`)
		found = nil
		for line := range strings.Lines(out) {
			if fields := strings.Fields(line); len(fields) == 2 {
				found = append(found, pod{fields[0], fields[1]})
			}
		}
		if err == nil && len(found) != 2 {
			err = fmt.Errorf("%d run", len(found))
		}
		return err
	})
	return found, err
}

// removeMoving takes the objects away again.
func (s *stage) removeMoving() {
	s.west.remove(shop, "serviceexport/moving", "service/moving", "endpointslice/moving-0")
	s.east.remove(shop, "httproute/propagated", "httproute/moving-near", "httproute/moving", "gateway/edge",
		"service/moving-near", "endpointslice/moving-near-0", "service/churn", "endpointslice/churn-0")
}

// churn changes an endpoint of another service a hundred times a second.
func (s *stage) churn() (func(), error) {
	server, err := s.east.api()
	if err != nil {
		return nil, err
	}
	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		ticks, made := time.NewTicker(churnEvery), 0
		defer ticks.Stop()
		for {
			select {
			case <-stop:
				ended <- made
				return
			case <-ticks.C:
			}
			made++
			change := fmt.Sprintf(`{"endpoints":[{"addresses":["10.201.1.%d"],"conditions":{"ready":true}}]}`, 1+made%250)
			server.patch(placed("discovery.k8s.io/v1", "endpointslices", "churn-0"), change)
		}
	}()
	start := time.Now()
	return func() {
		close(stop)
		made := <-ended
		fmt.Printf("           %.0f endpoint changes a second meanwhile\n", float64(made)/time.Since(start).Seconds())
	}, nil
}
