package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"time"
)

// authority is a CA.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// foreign is a CA that nobody trusts.
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

// authority is the cluster's own CA, as somebody would have it who may read its Secret.
func (c *cluster) authority() (authority, error) {
	var made authority
	part := func(name string) ([]byte, error) {
		text, err := base64.StdEncoding.DecodeString(c.get(system, "secret/spanway-ca", fmt.Sprintf(`{.data.tls\.%s}`, name)))
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("tls.%s of the CA of %s is no PEM", name, c.name)
		}
		return block.Bytes, nil
	}
	raw, err := part("crt")
	if err != nil {
		return made, err
	}
	if made.certificate, err = x509.ParseCertificate(raw); err != nil {
		return made, err
	}
	if raw, err = part("key"); err != nil {
		return made, err
	}
	key, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return made, err
	}
	var fits bool
	if made.key, fits = key.(*ecdsa.PrivateKey); !fits {
		return made, fmt.Errorf("the key of the CA of %s is a %T", c.name, key)
	}
	return made, nil
}

func (a authority) bundle() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}))
}

// gateway is a certificate for a gateway of a trust domain.
func (a authority) gateway(trustDomain string) tls.Certificate {
	return a.sign(trustDomain, "/ns/"+system+"/sa/spanway-gateway", time.Now().Add(time.Hour))
}

// sign is an SVID that began an hour ago.
func (a authority) sign(trustDomain, path string, until time.Time) tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{
		SerialNumber: serial, URIs: []*url.URL{{Scheme: "spiffe", Host: trustDomain, Path: path}},
		KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}
