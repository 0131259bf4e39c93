package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// sample says which service answered a call that began then, in milliseconds.
type sample struct {
	Start int64
	App   string
}

// result is what a load came to.
type result struct {
	Requests, Posts, Failures, Retried int
	FailedAs                           map[string]int `json:"failed_as"`
	Errors                             []string
	Clusters, Pods, Apps               map[string]int
	P50                                float64 `json:"p50_ms"`
	P99                                float64 `json:"p99_ms"`
	Seconds                            float64
	Samples                            []sample
}

func (r result) String() string {
	return fmt.Sprintf("%d requests in %.0f s, %d of them POSTs, %d failed, %d sent again, p50 %.1f ms, p99 %.1f ms, by cluster %v",
		r.Requests, r.Seconds, r.Posts, r.Failures, r.Retried, r.P50, r.P99, r.Clusters)
}

// load is a steady load from the client of a cluster.
type load struct {
	from *cluster
	name string
}

var loads int

// begin starts a load; more are pairs as the client's /start takes them.
func (c *cluster) begin(url string, rate int, more map[string]string) (load, error) {
	loads++
	made := load{c, fmt.Sprintf("load%d-%d", os.Getpid(), loads)}
	query := map[string]string{"name": made.name, "url": url, "rate": strconv.Itoa(rate)}
	for name, value := range more {
		query[name] = value
	}
	_, err := c.client("/start", query)
	return made, err
}

// end ends a load once it has made at least so many requests.
func (l load) end(least int) (result, error) {
	var made result
	text, err := l.from.client("/stop", map[string]string{"name": l.name, "least": strconv.Itoa(least)})
	if err != nil {
		return made, err
	}
	return made, json.Unmarshal([]byte(text), &made)
}

// flawless ends loads and shows that no call failed and at least so many were made.
func flawless(least int, loads ...load) error {
	requests, problems := 0, []string{}
	for _, one := range loads {
		made, err := one.end(1 + least/len(loads))
		if err != nil {
			return err
		}
		fmt.Printf("           %s: %s\n", one.name, made)
		requests += made.Requests
		if made.Failures > 0 || made.Retried > 0 {
			problems = append(problems, fmt.Sprintf("%s: %s\n%s", one.name, made, strings.Join(made.Errors, "\n")))
		}
	}
	if requests < least {
		problems = append(problems, fmt.Sprintf("%d requests, fewer than %d", requests, least))
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s", strings.Join(problems, "\n"))
	}
	return nil
}

// during runs something under loads, and ends them in any case.
func during(least int, do func() error, loads ...load) error {
	done := do()
	flaws := flawless(least, loads...)
	if done != nil && flaws != nil {
		return fmt.Errorf("%w\n%w", done, flaws)
	}
	if done != nil {
		return done
	}
	return flaws
}

// executed asks the ledger of west how many ids of a load were executed, and how many twice.
func (s *stage) executed(name string) (executed, twice int, err error) {
	address := s.west.get(shop, "service/ledger", "{.spec.clusterIP}")
	text, err := s.west.inNetwork(s.dir+"/workload", "get", "http://"+address+"/count?prefix="+name+"-")
	if err != nil {
		return 0, 0, err
	}
	var counted struct{ Executed, Twice int }
	err = json.Unmarshal([]byte(text), &counted)
	return counted.Executed, counted.Twice, err
}
