package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// drainTime is how long a server that is told to end waits for what is under way.
const drainTime = 10 * time.Second

// Answer is what a service says of itself.
type Answer struct {
	Pod     string `json:"pod"`
	Cluster string `json:"cluster"`
	App     string `json:"app"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	Proto   string `json:"proto"`
	ID      string `json:"id"`
	Trace   string `json:"trace"`
	// Forwarded is X-Forwarded-For as it arrived, all of it.
	Forwarded string `json:"forwarded"`
}

type service struct {
	pod, cluster, app, ledger string
	web                       *http.Client
}

func serve() error {
	s := &service{
		pod: env("POD", "?"), cluster: env("CLUSTER", "?"), app: env("APP", "web"), ledger: os.Getenv("LEDGER"),
		web: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/ws", s.webSocket)
	mux.HandleFunc("/stream", s.stream)
	mux.HandleFunc("/", s.answer)
	tcp, err := net.Listen("tcp", ":9000")
	if err != nil {
		return err
	}
	go s.speakFirst(tcp)
	secure, err := secureServer(mux)
	if err != nil {
		return err
	}
	go secure.ListenAndServeTLS("", "")
	return until(&http.Server{Addr: ":8080", Handler: mux, Protocols: plain(true, true)})
}

// plain says which versions of HTTP are spoken without TLS.
func plain(one, two bool) *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(one)
	protocols.SetUnencryptedHTTP2(two)
	return protocols
}

// until serves until the kubelet says to end, then finishes what is under way.
func until(server *http.Server) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ended:
	}
	deadline, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	return server.Shutdown(deadline)
}

func (s *service) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	id := r.Header.Get("X-Id")
	if r.Method == http.MethodPost {
		if id != string(body) {
			http.Error(w, "the body is not the id", http.StatusBadRequest)
			return
		}
		if err := s.execute(r.Context(), id); err != nil {
			http.Error(w, "ledger: "+err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Pod", s.pod)
	json.NewEncoder(w).Encode(Answer{
		Pod: s.pod, Cluster: s.cluster, App: s.app, Method: r.Method, Path: r.URL.Path,
		Proto: r.Proto, ID: id, Trace: r.Header.Get("Traceparent"),
		Forwarded: strings.Join(r.Header.Values("X-Forwarded-For"), ", "),
	})
}

// execute writes the id down before it is answered, because a pod that is deleted forgets.
func (s *service) execute(_ context.Context, id string) error {
	if s.ledger == "" {
		return nil
	}
	// Not with the caller's context: what was begun is written down even if the caller is gone.
	answer, err := s.web.Post("http://"+s.ledger+"/executed", "text/plain", strings.NewReader(id))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", answer.Status)
	}
	return nil
}

// stream answers each line with a line, both directions at once, and ends with trailers as gRPC does.
func (s *service) stream(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	control.EnableFullDuplex()
	w.Header().Set("Trailer", "Grpc-Status")
	w.Header().Set("Content-Type", "application/grpc")
	w.WriteHeader(http.StatusOK)
	control.Flush()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		fmt.Fprintf(w, "%s %s\n", s.pod, lines.Text())
		control.Flush()
	}
	w.Header().Set("Grpc-Status", "0")
}

const webSocketKey = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// webSocket upgrades, then copies bytes back: frames are of no interest to a proxy.
func (s *service) webSocket(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		http.Error(w, "no upgrade", http.StatusBadRequest)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + webSocketKey))
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	io.Copy(conn, buffered)
}

// speakFirst greets, answers lines, and at the client's end says how many there were.
func (s *service) speakFirst(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			fmt.Fprintf(conn, "hello %s %s\n", s.cluster, s.pod)
			count := 0
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				count++
				fmt.Fprintf(conn, "echo %s\n", lines.Text())
			}
			fmt.Fprintf(conn, "bye %d\n", count)
		}()
	}
}

func secureServer(handler http.Handler) (*http.Server, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "workload"}, DNSNames: []string{"workload"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	pair := tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}
	return &http.Server{Addr: ":8443", Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}}, nil
}

// ledger counts how often each id was executed.
func ledger() error {
	var lock sync.Mutex
	executed := map[string]int{}
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/executed", func(w http.ResponseWriter, r *http.Request) {
		id, err := io.ReadAll(io.LimitReader(r.Body, 256))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		lock.Lock()
		executed[string(id)]++
		lock.Unlock()
	})
	// How many ids with this prefix were executed, and how many of them more than once.
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		once, more := 0, 0
		for id, count := range executed {
			if strings.HasPrefix(id, r.URL.Query().Get("prefix")) {
				once++
				if count > 1 {
					more++
				}
			}
		}
		json.NewEncoder(w).Encode(map[string]int{"executed": once, "twice": more})
	})
	return until(&http.Server{Addr: ":8080", Handler: mux})
}
