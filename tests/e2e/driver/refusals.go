package main

import (
	"fmt"
	"strings"
)

const broken = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: nowhere, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: absent, port: 80}]}]
---
apiVersion: v1
kind: Secret
metadata: {name: half, namespace: shop}
type: Opaque
stringData: {tls.crt: "no certificate"}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: half, namespace: shop}
spec:
  gatewayClassName: spanway
  listeners: [{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: half}]}}]
---
apiVersion: spanway.dev/v1alpha1
kind: ClusterLink
metadata: {name: nobody}
spec:
  addresses: ["192.0.2.1:15443"]
  trustDomain: nobody.test
  bundle: |
    %s
`

func brokenObjects(s *stage) error {
	if err := s.east.apply(edge + "---" + routeTo("good", "gateway", "/", "near")); err != nil {
		return err
	}
	bundle := strings.ReplaceAll(foreign().bundle(), "\n", "\n    ")
	return s.underLoad(func() error {
		if err := s.east.apply(fmt.Sprintf(broken, bundle)); err != nil {
			return err
		}
		for _, one := range []struct{ object, list, kind, wanted string }{
			{"httproute/nowhere", ".status.parents[0].conditions", "ResolvedRefs", "False/BackendNotFound"},
			{"gateway/half", ".status.listeners[0].conditions", "ResolvedRefs", "False/InvalidCertificateRef"},
			{"httproute/good", ".status.parents[0].conditions", "ResolvedRefs", "True/ResolvedRefs"},
			{"httproute/good", ".status.parents[0].conditions", "Accepted", "True/Accepted"},
			{"gateway/edge", ".status.conditions", "Programmed", "True/Programmed"},
		} {
			state := func() string { return s.east.condition(shop, one.object, one.list, one.kind) }
			if err := is(one.object+" "+one.kind, one.wanted, state); err != nil {
				return err
			}
		}
		err := eventually("the link to nowhere is not reachable", func() error {
			if now := s.east.condition("", "clusterlink/nobody", ".status.conditions", "Reachable"); !strings.HasPrefix(now, "False/") {
				return fmt.Errorf("%s", now)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := s.east.remove(shop, "httproute/nowhere", "gateway/half", "secret/half", "gateway/edge", "httproute/good"); err != nil {
			return err
		}
		return s.east.remove(shop, "clusterlink/nobody")
	})
}

// wrongTrust makes west believe in another CA, and then in another account, than east's gateways have.
func wrongTrust(s *stage) error {
	stranger := foreign()
	for _, wrong := range []struct{ what, bundle, more string }{
		{"another CA", stranger.bundle(), ""},
		{"another account", s.east.bundle(), "  gateways: [\"spiffe://east.test/ns/other/sa/other\"]\n"},
	} {
		if err := s.west.linkWith(wrong.bundle, s.east.linkAddress()+":15443", wrong.more); err != nil {
			return err
		}
		err := eventually("the link of west says of "+wrong.what+" that it is not trusted", func() error {
			if now := s.west.condition("", "clusterlink/east", ".status.conditions", "Trusted"); !strings.HasPrefix(now, "False/") {
				return fmt.Errorf("%s", now)
			}
			return nil
		})
		if err == nil {
			fmt.Printf("           %s: Trusted=%s\n", wrong.what, s.west.condition("", "clusterlink/east", ".status.conditions", "Trusted"))
			err = eventually("calls of east are refused", func() error {
				made, err := s.east.call(web)
				if err == nil && made.Status == 200 {
					return fmt.Errorf("answered by %s", made.Answer.Pod)
				}
				return err
			})
		}
		if undone := s.west.kubectlDeleteLink(); undone != nil {
			return undone
		}
		if undone := s.west.link(); undone != nil {
			return undone
		}
		if err != nil {
			return err
		}
		if err := s.east.answered(web, "web", "west"); err != nil {
			return err
		}
	}
	return nil
}

// The list of gateways is a field that apply would keep, so the link is made anew.
func (c *cluster) kubectlDeleteLink() error { return c.remove("", "clusterlink/"+c.other().name) }
