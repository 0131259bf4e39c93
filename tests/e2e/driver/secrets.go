package main

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
)

const secure = `
apiVersion: v1
kind: Secret
metadata: {name: edge-tls, namespace: shop}
type: kubernetes.io/tls
data: {tls.crt: %s, tls.key: %s}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: secure, namespace: shop}
spec:
  gatewayClassName: spanway
  listeners: [{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: edge-tls}]}}]
`

// may is whether an account of ours may do something in a namespace.
func (c *cluster) may(account, namespace string, what ...string) bool {
	all := append([]string{"auth", "can-i", "--as", "system:serviceaccount:" + system + ":" + account, "-n", namespace}, what...)
	out, _ := c.kubectl(all...)
	return strings.TrimSpace(out) == "yes"
}

func secretsOnlyWhereReferred(s *stage) error {
	accounts := []string{"spanway-gateway", "spanway-controller"}
	for _, account := range accounts {
		for _, namespace := range []string{shop, "kube-system", system} {
			for _, verb := range []string{"get", "list", "watch"} {
				if s.east.may(account, namespace, verb, "secrets") {
					return fmt.Errorf("%s may %s Secrets in %s", account, verb, namespace)
				}
			}
		}
	}
	for _, what := range [][]string{{"update", "services"}, {"create", "endpointslices"}, {"get", "secrets/spanway-ca"}, {"create", "configmaps"}} {
		if s.east.may("spanway-gateway", system, what...) {
			return fmt.Errorf("a gateway may %v", what)
		}
	}
	if s.east.may("spanway-controller", shop, "bind", "clusterroles/cluster-admin") {
		return fmt.Errorf("a controller may bind any role")
	}
	pair := foreign().gateway("east.test")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	raw, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		return err
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	encode := base64.StdEncoding.EncodeToString
	if err := s.east.apply(fmt.Sprintf(secure, encode(certificate), encode(key))); err != nil {
		return err
	}
	state := func() string {
		return s.east.condition(shop, "gateway/secure", ".status.listeners[0].conditions", "ResolvedRefs")
	}
	err = is("the Gateway reads its Secret", "True/ResolvedRefs", state)
	if err == nil && (!s.east.may("spanway-gateway", shop, "get", "secrets") || s.east.may("spanway-gateway", "kube-system", "get", "secrets")) {
		err = fmt.Errorf("a gateway may read Secrets elsewhere than where its Gateway refers to one")
	}
	if undone := s.east.remove(shop, "gateway/secure", "secret/edge-tls"); undone != nil {
		return undone
	}
	if err != nil {
		return err
	}
	return is("the right ends with the last reference", "", func() string {
		return s.east.get(shop, "rolebinding/spanway-secret-reader", "{.metadata.name}")
	})
}
