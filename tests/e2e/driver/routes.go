package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

const (
	// A rule may still answer calls that begin so long after it was withdrawn.
	withdrawn   = time.Second
	routeChange = 200
)

// parents of routes: the mirrored Service, and a Gateway.
var parents = map[string]string{
	"mirrored": `{group: "", kind: Service, name: web, port: 80}`,
	"gateway":  `{name: edge}`,
}

// routeTo is a route that sends one path to a service.
func routeTo(name, parent, path, service string) string {
	return fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s, namespace: shop}
spec:
  parentRefs: [%s]
  rules:
  - matches: [{path: {type: PathPrefix, value: %q}}]
    backendRefs: [{name: %s, port: 80}]
  - backendRefs: [{group: multicluster.x-k8s.io, kind: ServiceImport, name: web, port: 80}]
`, name, parents[parent], path, service)
}

// split sends callers with a header across, and of the others one in ten.
func split(name, parent string) string {
	return fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s, namespace: shop}
spec:
  parentRefs: [%s]
  rules:
  - matches: [{headers: [{name: x-canary, value: west}]}]
    backendRefs: [{group: multicluster.x-k8s.io, kind: ServiceImport, name: web, port: 80}]
  - backendRefs:
    - {name: near, port: 80, weight: 90}
    - {group: multicluster.x-k8s.io, kind: ServiceImport, name: web, port: 80, weight: 10}
`, name, parents[parent])
}

const edge = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: spanway
  listeners: [{name: http, port: 80, protocol: HTTP}]
`

func splitsMirrored(s *stage) error {
	if err := s.east.apply(split("split", "mirrored")); err != nil {
		return err
	}
	err := s.splits(web)
	if undone := s.east.remove(shop, "httproute/split"); undone != nil {
		return undone
	}
	if undone := s.east.answered(web, "web", "west"); undone != nil {
		return undone
	}
	return err
}

func splitsGateway(s *stage) error {
	if err := s.east.apply(edge + "---" + split("split-edge", "gateway")); err != nil {
		return err
	}
	address := func() string { return s.east.gatewayAddress("edge") }
	err := eventually("the Gateway has an address", func() error {
		if address() == "" {
			return fmt.Errorf("it has none; Programmed=%s", s.east.condition(shop, "gateway/edge", ".status.conditions", "Programmed"))
		}
		return nil
	})
	if err != nil {
		return err
	}
	// A node programs a new address bit by bit; it is there when many new connections in a row arrive.
	for range 30 {
		if err := s.east.arrives("http://" + address()); err != nil {
			return err
		}
	}
	if err := s.splits("http://" + address()); err != nil {
		return err
	}
	return s.east.remove(shop, "httproute/split-edge", "gateway/edge")
}

// gatewayAddress is the address of a Gateway; empty while it has none.
func (c *cluster) gatewayAddress(name string) string {
	return c.get(shop, "gateway/"+name, "{.status.addresses[0].value}")
}

// arrives waits until a call over a new connection is answered by whomever.
func (c *cluster) arrives(url string) error {
	return eventually(url+" answers", func() error {
		made, err := c.call(url)
		if err == nil && made.Status != 200 {
			err = fmt.Errorf("status %d %s", made.Status, made.Error)
		}
		return err
	})
}

// splits shows a split of 90 to 10 and a header match.
func (s *stage) splits(url string) error {
	// The split is in force when somebody is answered by the local service.
	if err := s.east.answered(url, "near", "east"); err != nil {
		return err
	}
	plain, err := s.east.begin(url, 400, map[string]string{"clients": "16"})
	if err != nil {
		return err
	}
	chosen, err := s.east.begin(url, 100, map[string]string{"header": "X-Canary:west", "cluster": "west"})
	if err != nil {
		return err
	}
	time.Sleep(10 * time.Second)
	made, err := plain.end(0)
	if err != nil {
		return err
	}
	if err := flawless(500, chosen); err != nil {
		return err
	}
	fmt.Printf("           %s: %s\n", plain.name, made)
	if made.Failures > 0 {
		return fmt.Errorf("%s\n%s", made, strings.Join(made.Errors, "\n"))
	}
	// Five standard deviations of a draw with replacement: a true split misses once in a million runs.
	count := float64(made.Requests)
	if off := math.Abs(float64(made.Clusters["west"]) - count/10); off > 5*math.Sqrt(count*0.1*0.9) {
		return fmt.Errorf("%d of %d went to west, not a tenth", made.Clusters["west"], made.Requests)
	}
	return nil
}

func routesChange(s *stage) error {
	if err := s.east.apply(routeTo("change", "mirrored", "/", "near")); err != nil {
		return err
	}
	if err := s.east.answered(web, "near", "east"); err != nil {
		return err
	}
	if err := s.mark(); err != nil {
		return err
	}
	one, err := s.east.begin(web+"/x", 200, map[string]string{"samples": "1", "posts": "0"})
	if err != nil {
		return err
	}
	steady, err := s.east.begin("http://talk.shop.svc.cluster.local:8080", 200, map[string]string{"posts": "33", "cluster": "west"})
	if err != nil {
		return err
	}
	type period struct {
		app  string
		from int64
	}
	periods := []period{{"near", 0}}
	changes := func() error {
		for number := range routeChange {
			// Odd changes send the path of the load across, even ones keep it here.
			path, app := "/", "near"
			if number%2 == 0 {
				path, app = "/elsewhere", "web"
			}
			if err := s.east.apply(routeTo("change", "mirrored", path, "near")); err != nil {
				return err
			}
			periods = append(periods, period{app, time.Now().UnixMilli()})
			// The endpoints of the other load change: a pod leaves the service, or comes back.
			if err := s.flip(number); err != nil {
				return err
			}
		}
		return nil
	}
	done := changes()
	made, err := one.end(0)
	if err != nil {
		return err
	}
	fmt.Printf("           %s: %s\n", one.name, made)
	flaws := flawless(1000, steady)
	restored := s.restore()
	if undone := s.east.remove(shop, "httproute/change"); undone != nil {
		return undone
	}
	for _, err := range []error{done, flaws, restored} {
		if err != nil {
			return err
		}
	}
	if made.Failures > 0 {
		return fmt.Errorf("%s\n%s", made, strings.Join(made.Errors, "\n"))
	}
	late := 0
	for _, call := range made.Samples {
		for at, period := range periods {
			ends := int64(math.MaxInt64)
			if at+1 < len(periods) {
				ends = periods[at+1].from
			}
			if call.Start < period.from || call.Start >= ends || call.App == period.app {
				continue
			}
			// The rule before may answer for a second after this one came; the next one is
			// in force a little before `kubectl` has said so.
			if call.Start > period.from+withdrawn.Milliseconds() && call.Start < ends-withdrawn.Milliseconds() {
				late++
			}
		}
	}
	if late > 0 {
		return fmt.Errorf("%d calls were answered by a rule that was withdrawn more than %s before", late, withdrawn)
	}
	return s.east.answered(web, "web", "west")
}

// flip takes all pods of west but the marked one out of a Service, or puts them back.
func (s *stage) flip(number int) error {
	if number%2 == 0 {
		return s.west.setSelector(`{"app": "web", "flip": "on"}`)
	}
	return s.west.setSelector(`{"app": "web", "flip": null}`)
}

// mark gives one pod of west the label by which flip finds it.
func (s *stage) mark() error {
	pods := strings.Fields(s.west.podsOf("app=web"))
	if len(pods) == 0 {
		return fmt.Errorf("west has no pod of web")
	}
	_, err := s.west.kubectl("-n", shop, "label", "--overwrite", "pod/"+pods[0], "flip=on")
	return err
}

// podsOf are the names of running pods with these labels.
func (c *cluster) podsOf(labels string) string {
	out, err := c.kubectl("-n", shop, "get", "pods", "-l", labels, "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		return ""
	}
	return out
}

func (c *cluster) setSelector(selector string) error {
	_, err := c.kubectl("-n", shop, "patch", "service", "talk", "--type=merge", "-p", `{"spec": {"selector": `+selector+`}}`)
	return err
}

func (s *stage) restore() error { return s.west.setSelector(`{"app": "web", "flip": null}`) }
