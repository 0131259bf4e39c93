package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// A certificate is asked for as a gateway asks: with a ServiceAccount token for the controllers' own
// audience and a request that is signed with a key of its own.

// plea is what `driver issue` reads, in the network of the cluster.
type plea struct {
	Address string
	CSR     []byte
	Token   string
	// Authority is the CA by which a controller is recognised, Controller its name.
	Authority  []byte
	Controller string
}

// reply is what it prints: a chain, or the status and words of a refusal.
type reply struct {
	Chain           [][]byte
	Status, Message string
}

// token is a token of an account for the controllers, as the kubelet projects it for a pod.
func (c *cluster) token(namespace, account string) (string, error) {
	out, err := c.kubectl("-n", namespace, "create", "token", account, "--audience", "spanway.dev/ca")
	return strings.TrimSpace(out), err
}

// issue asks the leader for a certificate in return for a token.
func (c *cluster) issue(token string) (tls.Certificate, reply, error) {
	var made tls.Certificate
	var said reply
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return made, said, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return made, said, err
	}
	trusted, err := c.authority()
	if err != nil {
		return made, said, err
	}
	address, _, _, err := c.leader()
	if err != nil {
		return made, said, err
	}
	asked, err := json.Marshal(plea{
		Address: address + ":15012", CSR: request, Token: token, Authority: trusted.certificate.Raw,
		Controller: "spiffe://" + c.name + ".test/ns/" + system + "/sa/spanway-controller",
	})
	if err != nil {
		return made, said, err
	}
	self, err := os.Executable()
	if err != nil {
		return made, said, err
	}
	text, err := command(string(asked), "nsenter", "--net=/run/netns/"+c.stage.env[c.name+"_netns"], self, "issue")
	if err != nil {
		return made, said, err
	}
	err = json.Unmarshal([]byte(text), &said)
	return tls.Certificate{Certificate: said.Chain, PrivateKey: key}, said, err
}

// issue makes one call of the control service of a controller.
func issue() error {
	var asked plea
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return err
	}
	trusted, err := x509.ParseCertificate(asked.Authority)
	if err != nil {
		return err
	}
	web := http.Client{Timeout: peerTimeout, Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{
			ServerName: "control.spanway.internal", MinVersion: tls.VersionTLS13,
			InsecureSkipVerify: true, VerifyConnection: only(trusted, asked.Controller),
		},
	}}
	message := append(field(1, asked.CSR), field(2, []byte(asked.Token))...)
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	request, err := http.NewRequest(http.MethodPost, "https://"+asked.Address+"/spanway.control.v1.Control/Issue", bytes.NewReader(append(frame, message...)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	answer, err := web.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	var said reply
	for _, headers := range []http.Header{answer.Header, answer.Trailer} {
		if status := headers.Get("Grpc-Status"); status != "" {
			said.Status, said.Message = status, headers.Get("Grpc-Message")
		}
	}
	if len(body) > 5 {
		// IssueReply has one field, what was issued; that has a certificate in each field 1.
		for _, issued := range fields(body[5:], 1) {
			said.Chain = append(said.Chain, fields(issued, 1)...)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}

// field is a field of bytes of a protobuf message.
func field(number int, value []byte) []byte {
	const ofBytes = 2
	out := binary.AppendUvarint([]byte{byte(number<<3 | ofBytes)}, uint64(len(value)))
	return append(out, value...)
}

// fields are the values of the fields of bytes with this number; those of other kinds end it.
func fields(message []byte, number int) [][]byte {
	var found [][]byte
	for len(message) > 0 {
		tag, read := binary.Uvarint(message)
		if read <= 0 || tag&7 != 2 {
			break
		}
		size, more := binary.Uvarint(message[read:])
		begin := read + more
		if more <= 0 || size > uint64(len(message)-begin) {
			break
		}
		if int(tag>>3) == number {
			found = append(found, message[begin:begin+int(size)])
		}
		message = message[begin+int(size):]
	}
	return found
}

// grpcRefused is PERMISSION_DENIED.
const grpcRefused = "7"

// gatewayCertificate is what a gateway of the cluster gets.
func (c *cluster) gatewayCertificate() (tls.Certificate, error) {
	token, err := c.token(system, "spanway-gateway")
	if err != nil {
		return tls.Certificate{}, err
	}
	made, said, err := c.issue(token)
	if err == nil && len(said.Chain) == 0 {
		err = fmt.Errorf("no certificate was issued: status %s: %s", said.Status, said.Message)
	}
	return made, err
}
