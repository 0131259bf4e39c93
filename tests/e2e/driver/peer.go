package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A peer of the tests speaks the protocol of links as a near gateway does: the SNI names the service,
// a hello goes out with the end of the handshake, the far gateway accepts or refuses.

const (
	protocolCalls   = "spanway/1"
	protocolCatalog = "h2"
	peerTimeout     = 10 * time.Second

	kindHello, kindAccepted, kindRefused = 1, 2, 3
	fieldCode, fieldSentence             = 3, 4
	codeNotExported                      = 1
)

// verdict is what a far gateway says to a hello.
type verdict struct {
	accepted bool
	code     int
	sentence string
	// answer is what the service said to a request, if it was let through.
	answer answer
}

// svidOf verifies a peer's chain against a CA and takes its SPIFFE ID.
func svidOf(state tls.ConnectionState, trusted *x509.Certificate) (string, error) {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(trusted)
	leaf := state.PeerCertificates[0]
	for _, one := range state.PeerCertificates[1:] {
		between.AddCert(one)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return "", err
	}
	if len(leaf.URIs) != 1 {
		return "", fmt.Errorf("the peer has %d names", len(leaf.URIs))
	}
	return leaf.URIs[0].String(), nil
}

// only trusts a peer that a CA signed for, of this name.
func only(trusted *x509.Certificate, name string) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		id, err := svidOf(state, trusted)
		if err == nil && id != name {
			err = fmt.Errorf("the peer is %s", id)
		}
		return err
	}
}

// peer is a gateway of east, as the gateways of west know one.
type peer struct {
	address string
	own     tls.Certificate
	far     *x509.Certificate
}

// newPeer gets a certificate as a gateway of east does.
func (s *stage) newPeer() (peer, error) {
	made := peer{address: s.west.linkAddress() + ":15443"}
	far, err := s.west.authority()
	if err != nil {
		return made, err
	}
	made.far = far.certificate
	made.own, err = s.east.gatewayCertificate()
	return made, err
}

// asks the gateways of west for a port of a service.
func (p peer) asks(service string, port int) (verdict, error) {
	return ask(p.address, &tls.Config{
		Certificates: []tls.Certificate{p.own}, NextProtos: []string{protocolCalls}, MinVersion: tls.VersionTLS13,
		// The name says which service is called, not who answers.
		ServerName:         fmt.Sprintf("%d.%s.%s.svc.clusterset.local", port, service, shop),
		InsecureSkipVerify: true,
		VerifyConnection:   only(p.far, "spiffe://west.test/ns/"+system+"/sa/spanway-gateway"),
	})
}

// ask opens a link connection, and makes a request where it is accepted.
func ask(address string, as *tls.Config) (verdict, error) {
	var heard verdict
	conn, err := tls.Dial("tcp", address, as)
	if err != nil {
		return heard, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(peerTimeout))
	// A hello without fields: a length, and a kind.
	if _, err := conn.Write([]byte{0, 1, kindHello}); err != nil {
		return heard, err
	}
	if err := heard.read(conn); err != nil || !heard.accepted {
		return heard, err
	}
	if _, err := fmt.Fprintf(conn, "GET /peer HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", as.ServerName); err != nil {
		return heard, err
	}
	got, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return heard, err
	}
	defer got.Body.Close()
	return heard, json.NewDecoder(got.Body).Decode(&heard.answer)
}

// read takes the first message of a far gateway: a length, a kind, and fields with a type and a length.
func (v *verdict) read(from io.Reader) error {
	var length uint16
	if err := binary.Read(from, binary.BigEndian, &length); err != nil {
		return err
	}
	message := make([]byte, length)
	if _, err := io.ReadFull(from, message); err != nil {
		return err
	}
	if length == 0 || message[0] != kindAccepted && message[0] != kindRefused {
		return fmt.Errorf("the far gateway said %x", message)
	}
	v.accepted = message[0] == kindAccepted
	for rest := message[1:]; len(rest) >= 4; {
		field, size := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if len(rest) < 4+size {
			return fmt.Errorf("the message ends within a field: %x", message)
		}
		value := rest[4 : 4+size]
		switch {
		case field == fieldCode && size == 2:
			v.code = int(binary.BigEndian.Uint16(value))
		case field == fieldSentence:
			v.sentence = string(value)
		}
		rest = rest[4+size:]
	}
	return nil
}

// turnedAway shows that the gateways of west end a link connection with these certificates.
func turnedAway(address, protocol string, certificates ...tls.Certificate) error {
	dialed, err := tls.Dial("tcp", address, &tls.Config{
		Certificates: certificates, InsecureSkipVerify: true, NextProtos: []string{protocol},
		ServerName: "80.web.shop.svc.clusterset.local", MinVersion: tls.VersionTLS13,
	})
	if err != nil {
		return nil
	}
	defer dialed.Close()
	dialed.SetDeadline(time.Now().Add(peerTimeout))
	// In TLS 1.3 a client has finished before it is judged: the refusal is what comes first.
	if _, err := dialed.Write([]byte{0, 1, kindHello}); err != nil {
		return nil
	}
	if _, err := dialed.Read(make([]byte, 1)); err == nil {
		return fmt.Errorf("it was answered")
	} else if timeout, is := err.(interface{ Timeout() bool }); is && timeout.Timeout() {
		return fmt.Errorf("the connection stayed open")
	}
	return nil
}
