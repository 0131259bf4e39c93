package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// client makes calls as its control port says.
//
//	/start?name=N&url=U[&clients=8][&rate=200][&proto=h1|h2][&posts=33][&header=K:V][&cluster=west][&samples=1]
//	/made?name=N&least=M   waits until that load has made so many requests
//	/stop?name=N   ends that load; its Result
//	/call?url=U[&method=M][&header=K:V]   one call over a new connection; its Outcome
//	/tcp?address=A&mode=M   one conversation, see talk.go
//	/stream/start?name=N&url=U&kind=grpc|websocket   a conversation that goes on
//	                            &kind=used|silent      a connection that is kept for one request more
//	/stream/stop?name=N   ends it; its Talk
func client() error {
	c := &clients{loads: map[string]*load{}, streams: map[string]*stream{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/start", c.start)
	mux.HandleFunc("/made", c.made)
	mux.HandleFunc("/stop", c.stop)
	mux.HandleFunc("/call", call)
	mux.HandleFunc("/tcp", talkTCP)
	mux.HandleFunc("/stream/start", c.startStream)
	mux.HandleFunc("/stream/stop", c.stopStream)
	return until(&http.Server{Addr: ":8081", Handler: mux})
}

type clients struct {
	lock    sync.Mutex
	loads   map[string]*load
	streams map[string]*stream
}

func (c *clients) start(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	number := func(name string, otherwise int) int {
		if value, err := strconv.Atoi(query.Get(name)); err == nil {
			return value
		}
		return otherwise
	}
	name := query.Get("name")
	load := newLoad(terms{
		name: name, url: query.Get("url"), clients: number("clients", 8), rate: number("rate", 200),
		two: query.Get("proto") == "h2", posts: number("posts", 0), header: query.Get("header"),
		cluster: query.Get("cluster"), samples: query.Get("samples") != "",
	})
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.loads[name] != nil {
		http.Error(w, "this load runs already", http.StatusConflict)
		return
	}
	c.loads[name] = load
	load.begin()
}

func (c *clients) made(w http.ResponseWriter, r *http.Request) {
	c.lock.Lock()
	load := c.loads[r.URL.Query().Get("name")]
	c.lock.Unlock()
	least, err := strconv.Atoi(r.URL.Query().Get("least"))
	if load == nil || err != nil {
		http.Error(w, "no such load, or no number", http.StatusNotFound)
		return
	}
	load.reach(least)
}

func (c *clients) stop(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	c.lock.Lock()
	load := c.loads[name]
	delete(c.loads, name)
	c.lock.Unlock()
	if load == nil {
		http.Error(w, "no such load", http.StatusNotFound)
		return
	}
	if least, err := strconv.Atoi(r.URL.Query().Get("least")); err == nil {
		load.reach(least)
	}
	json.NewEncoder(w).Encode(load.end())
}

// setHeader takes `Name:value`.
func setHeader(request *http.Request, header string) {
	if name, value, found := strings.Cut(header, ":"); found {
		request.Header.Set(name, strings.TrimSpace(value))
	}
}
