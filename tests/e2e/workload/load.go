package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// A call that takes longer has failed.
	callTimeout = 10 * time.Second
	// A connection lives through so many calls at most, so that new ones are always made too.
	callsPerConnection = 200
	errorsKept         = 20
)

// Outcome is one call.
type Outcome struct {
	Status int    `json:"status"`
	Error  string `json:"error"`
	Answer Answer `json:"answer"`
	Text   string `json:"text"`
}

// Sample says which service answered a call that began then.
type Sample struct {
	Start int64  `json:"start"`
	App   string `json:"app"`
}

// Result is what a load came to.
type Result struct {
	Requests int `json:"requests"`
	Posts    int `json:"posts"`
	Failures int `json:"failures"`
	// Retried calls are those that the client library sent again by itself, unseen by callers.
	Retried int      `json:"retried"`
	Errors  []string `json:"errors"`
	// FailedAs counts failures as `POST 502 endpoint-closed`: method, status, and the gateway's code.
	FailedAs map[string]int `json:"failed_as"`
	Clusters map[string]int `json:"clusters"`
	Pods     map[string]int `json:"pods"`
	Apps     map[string]int `json:"apps"`
	P50      float64        `json:"p50_ms"`
	P99      float64        `json:"p99_ms"`
	Seconds  float64        `json:"seconds"`
	Samples  []Sample       `json:"samples,omitempty"`
}

type terms struct {
	name, url, header, cluster string
	clients, rate, posts       int
	two, samples               bool
}

// reachWait is for a load to make what is asked of it at least, on a busy machine.
const reachWait = 30 * time.Second

type load struct {
	terms  terms
	stop   chan struct{}
	done   sync.WaitGroup
	began  time.Time
	lock   sync.Mutex
	result Result
	took   []time.Duration
}

func newLoad(terms terms) *load {
	return &load{terms: terms, stop: make(chan struct{}), result: Result{
		Clusters: map[string]int{}, Pods: map[string]int{}, Apps: map[string]int{}, Errors: []string{},
		FailedAs: map[string]int{},
	}}
}

func (l *load) begin() {
	l.began = time.Now()
	for number := range l.terms.clients {
		l.done.Go(func() { l.run(number) })
	}
}

// reach waits until so many requests were made, or for as long as is sensible: who asked sees it
// from the result.
func (l *load) reach(least int) {
	enough := func() bool {
		l.lock.Lock()
		defer l.lock.Unlock()
		return l.result.Requests >= least
	}
	for end := time.Now().Add(reachWait); !enough() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}

func (l *load) end() Result {
	close(l.stop)
	l.done.Wait()
	l.result.Seconds = time.Since(l.began).Seconds()
	slices.Sort(l.took)
	if count := len(l.took); count > 0 {
		l.result.P50 = float64(l.took[count/2].Microseconds()) / 1000
		l.result.P99 = float64(l.took[count*99/100].Microseconds()) / 1000
	}
	return l.result
}

// transport keeps one connection, as a client with keep-alive does.
func (l *load) transport() *http.Transport {
	dialer := net.Dialer{Timeout: callTimeout}
	return &http.Transport{
		DialContext: dialer.DialContext, MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1,
		Protocols: plain(!l.terms.two, l.terms.two), DisableCompression: true,
	}
}

// stopped: where a tick is due as well, chance alone would begin calls for as long as it likes.
func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// run is one client: calls one after the other, at its share of the rate.
func (l *load) run(number int) {
	every := time.Second * time.Duration(l.terms.clients) / time.Duration(max(1, l.terms.rate))
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	transport := l.transport()
	for sent := 0; ; sent++ {
		select {
		case <-l.stop:
		case <-ticks.C:
		}
		if l.stopped() {
			transport.CloseIdleConnections()
			return
		}
		if sent%callsPerConnection == callsPerConnection-1 {
			transport.CloseIdleConnections()
			transport = l.transport()
		}
		method := http.MethodGet
		// Clients are at different places of their hundred, so that both kinds are always on their way.
		if (sent+number*31)%100 < l.terms.posts {
			method = http.MethodPost
		}
		id := fmt.Sprintf("%s-%d-%d", l.terms.name, number, sent)
		l.one(transport, method, id)
	}
}

func (l *load) one(transport *http.Transport, method, id string) {
	connections, written := 0, 0
	request, err := http.NewRequest(method, l.terms.url, nil)
	if err != nil {
		panic(err)
	}
	if method == http.MethodPost {
		request, _ = http.NewRequest(method, l.terms.url, strings.NewReader(id))
	}
	request.Header.Set("X-Id", id)
	setHeader(request, l.terms.header)
	trace := &httptrace.ClientTrace{
		GotConn:      func(httptrace.GotConnInfo) { connections++ },
		WroteHeaders: func() { written++ },
	}
	request = request.WithContext(httptrace.WithClientTrace(request.Context(), trace))
	start := time.Now()
	outcome := exchange(&http.Client{Transport: transport, Timeout: callTimeout}, request)
	took := time.Since(start)
	problem := l.judge(outcome, id, method)
	l.lock.Lock()
	defer l.lock.Unlock()
	l.result.Requests++
	l.took = append(l.took, took)
	if method == http.MethodPost {
		l.result.Posts++
	}
	// An HTTP/2 client that is told to go elsewhere (GOAWAY, RFC 9113 §6.8) between the choice of a
	// connection and the first byte takes another one; in HTTP/1 that is a connection closed under it.
	if written > 1 || connections > 1 && !l.terms.two {
		l.result.Retried++
	}
	if problem != "" {
		l.result.Failures++
		l.result.FailedAs[fmt.Sprintf("%s %d %s", method, outcome.Status, gatewayCode(outcome))]++
		if len(l.result.Errors) < errorsKept {
			stamp := start.UTC().Format("15:04:05.000")
			l.result.Errors = append(l.result.Errors, fmt.Sprintf("%s +%d ms %s %s: %s", stamp, took.Milliseconds(), method, id, problem))
		}
		return
	}
	l.result.Clusters[outcome.Answer.Cluster]++
	l.result.Pods[outcome.Answer.Pod]++
	l.result.Apps[outcome.Answer.App]++
	if l.terms.samples {
		l.result.Samples = append(l.result.Samples, Sample{start.UnixMilli(), outcome.Answer.App})
	}
}

// gatewayCode is the code of an answer that a gateway made itself: `spanway: CODE (request ID)`.
func gatewayCode(outcome Outcome) string {
	if code, found := strings.CutPrefix(outcome.Text, "spanway: "); found && outcome.Error == "" {
		code, _, _ = strings.Cut(code, " ")
		return code
	}
	return "?"
}

// judge says what is wrong with an answer.
func (l *load) judge(outcome Outcome, id, method string) string {
	switch {
	case outcome.Error != "":
		return outcome.Error
	case outcome.Status != http.StatusOK:
		return fmt.Sprintf("status %d: %s", outcome.Status, outcome.Text)
	case outcome.Answer.ID != id:
		return fmt.Sprintf("the answer to %q", outcome.Answer.ID)
	case outcome.Answer.Method != method:
		return "the answer to a " + outcome.Answer.Method
	case l.terms.cluster != "" && outcome.Answer.Cluster != l.terms.cluster:
		return "answered by " + outcome.Answer.Cluster
	}
	return ""
}

func exchange(web *http.Client, request *http.Request) Outcome {
	answer, err := web.Do(request)
	if err != nil {
		return Outcome{Error: err.Error()}
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return Outcome{Status: answer.StatusCode, Error: "body: " + err.Error()}
	}
	outcome := Outcome{Status: answer.StatusCode, Text: string(body)}
	if answer.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, &outcome.Answer); err != nil {
			outcome.Error = "not an answer of ours: " + err.Error()
		}
	}
	return outcome
}

// call is a single call, over a connection of its own.
func call(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	request, err := http.NewRequest(query.Get("method"), query.Get("url"), nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	setHeader(request, query.Get("header"))
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	transport := &http.Transport{DisableKeepAlives: true, Protocols: plain(true, false)}
	json.NewEncoder(w).Encode(exchange(&http.Client{Transport: transport, Timeout: callTimeout}, request))
}
