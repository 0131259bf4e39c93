package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
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

// wrongTrust makes west believe in another CA, and then in another account, than east's gateways have;
// a client without a certificate, and one with a certificate of another CA, ask too.
func wrongTrust(s *stage) error {
	address := s.west.linkAddress() + ":15443"
	stranger := foreign()
	for _, one := range []struct {
		what         string
		certificates []tls.Certificate
	}{{"without a certificate", nil}, {"with a certificate of another CA", []tls.Certificate{stranger.gateway("east.test")}}} {
		if err := s.refused(address, one.certificates); err != nil {
			return fmt.Errorf("a peer %s: %w", one.what, err)
		}
	}
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

// refused shows that the gateways of west end a link connection with these certificates.
func (s *stage) refused(address string, certificates []tls.Certificate) error {
	dialed, err := tls.Dial("tcp", address, &tls.Config{
		Certificates: certificates, InsecureSkipVerify: true, NextProtos: []string{"spanway/1"},
		ServerName: "80.web.shop.svc.clusterset.local", MinVersion: tls.VersionTLS13,
	})
	if err != nil {
		return nil
	}
	defer dialed.Close()
	dialed.SetDeadline(time.Now().Add(10 * time.Second))
	// In TLS 1.3 a client has finished before it is judged: the refusal is what comes first.
	if _, err := dialed.Read(make([]byte, 1)); err == nil {
		return fmt.Errorf("it was answered")
	} else if strings.Contains(err.Error(), "timeout") {
		return fmt.Errorf("the connection stayed open")
	}
	return nil
}

// authority is a CA that nobody trusts.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func foreign() authority {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "another CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	certificate, _ := x509.ParseCertificate(raw)
	return authority{certificate, key}
}

func (a authority) bundle() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}))
}

// gateway is a certificate for a gateway of a trust domain.
func (a authority) gateway(trustDomain string) tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	id := &url.URL{Scheme: "spiffe", Host: trustDomain, Path: "/ns/" + system + "/sa/spanway-gateway"}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), URIs: []*url.URL{id}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}
