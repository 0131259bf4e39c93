package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	talkTimeout = 10 * time.Second
	// Longer than a gateway waits for a client's first bytes.
	quietTime = 2 * time.Second
	// A conversation that goes on says something this often.
	streamEvery = 100 * time.Millisecond
)

// talkTCP has one conversation and prints what was heard. Modes: `first` (the server greets, then
// a line each way), `half-close` (lines, then the end of our side, then the server's last word),
// `late-http` (silence, then a request), `tls` (a request inside TLS that only the service ends).
func talkTCP(w http.ResponseWriter, r *http.Request) {
	heard, err := converse(r.URL.Query().Get("address"), r.URL.Query().Get("mode"))
	if err != nil {
		http.Error(w, err.Error()+"; heard: "+heard, http.StatusBadGateway)
		return
	}
	io.WriteString(w, heard)
}

func converse(address, mode string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, talkTimeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(talkTimeout))
	request := "GET /talk HTTP/1.1\r\nHost: " + address + "\r\nX-Id: talk\r\nConnection: close\r\n\r\n"
	switch mode {
	case "first":
		lines := bufio.NewReader(conn)
		greeting, err := lines.ReadString('\n')
		if err != nil {
			return greeting, err
		}
		fmt.Fprintf(conn, "one\n")
		reply, err := lines.ReadString('\n')
		return greeting + reply, err
	case "half-close":
		fmt.Fprintf(conn, "one\ntwo\n")
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return "", err
		}
	case "late-http":
		time.Sleep(quietTime)
		io.WriteString(conn, request)
	case "tls":
		secure := tls.Client(conn, &tls.Config{ServerName: "workload", InsecureSkipVerify: true})
		if err := secure.Handshake(); err != nil {
			return "", err
		}
		io.WriteString(secure, request)
		heard, err := io.ReadAll(secure)
		return secure.ConnectionState().PeerCertificates[0].Subject.CommonName + "\n" + string(heard), err
	default:
		return "", fmt.Errorf("no such mode: %q", mode)
	}
	heard, err := io.ReadAll(conn)
	return string(heard), err
}

// Talk is what a conversation that goes on came to.
type Talk struct {
	Sent  int    `json:"sent"`
	Heard int    `json:"heard"`
	Error string `json:"error"`
	End   string `json:"end"`
	Pod   string `json:"pod"`
}

type stream struct {
	stop chan struct{}
	done sync.WaitGroup
	talk Talk
}

func (c *clients) startStream(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	s := &stream{stop: make(chan struct{})}
	c.lock.Lock()
	c.streams[query.Get("name")] = s
	c.lock.Unlock()
	s.done.Go(func() {
		if err := s.run(query.Get("url"), query.Get("kind")); err != nil {
			s.talk.Error = err.Error()
		}
	})
}

func (c *clients) stopStream(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	c.lock.Lock()
	s := c.streams[name]
	delete(c.streams, name)
	c.lock.Unlock()
	if s == nil {
		http.Error(w, "no such stream", http.StatusNotFound)
		return
	}
	close(s.stop)
	s.done.Wait()
	json.NewEncoder(w).Encode(s.talk)
}

func (s *stream) run(url, kind string) error {
	switch kind {
	case "websocket":
		return s.webSocket(url)
	case "used", "silent":
		return s.held(url, kind == "used")
	}
	return s.grpc(url)
}

// held keeps a connection, on which a request was made already or nothing was said, and makes a
// request on it when it is told to end.
func (s *stream) held(target string, used bool) error {
	parsed, err := url.Parse(target)
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout("tcp", parsed.Host+":80", talkTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	request := func() error {
		conn.SetDeadline(time.Now().Add(talkTimeout))
		if _, err := fmt.Fprintf(conn, "GET /held HTTP/1.1\r\nHost: %s\r\n\r\n", parsed.Host); err != nil {
			return err
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		s.talk.End = answer.Status + ": " + string(body)
		return err
	}
	if used {
		if err := request(); err != nil {
			return err
		}
	}
	<-s.stop
	s.talk.End = ""
	return request()
}

// exchangeLines says a line, hears it, and again, until told to end.
func (s *stream) exchangeLines(out io.Writer, in *bufio.Reader) error {
	for number := 0; ; number++ {
		select {
		case <-s.stop:
			return nil
		case <-time.After(streamEvery):
		}
		line := fmt.Sprintf("line %d", number)
		if _, err := io.WriteString(out, line+"\n"); err != nil {
			return fmt.Errorf("saying line %d: %w", number, err)
		}
		s.talk.Sent++
		heard, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("hearing line %d: %w", number, err)
		}
		if !strings.HasSuffix(strings.TrimSpace(heard), line) {
			return fmt.Errorf("heard %q for %q", heard, line)
		}
		s.talk.Heard++
	}
}

// grpc is a stream in both directions over HTTP/2 that ends with trailers.
func (s *stream) grpc(url string) error {
	reader, writer := io.Pipe()
	request, err := http.NewRequest(http.MethodPost, url, reader)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	answer, err := (&http.Transport{Protocols: plain(false, true)}).RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", answer.Status)
	}
	in := bufio.NewReader(answer.Body)
	err = s.exchangeLines(writer, in)
	writer.Close()
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	s.talk.End = "grpc-status " + answer.Trailer.Get("Grpc-Status")
	return err
}

func (s *stream) webSocket(target string) error {
	parsed, err := url.Parse(target)
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout("tcp", parsed.Host, talkTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", parsed.Path, parsed.Host)
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("%s", answer.Status)
	}
	s.talk.End = answer.Status
	return s.exchangeLines(conn, in)
}
