package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// A change comes at any moment of whatever beats there.
	pauseMax = 20 * time.Millisecond
	// A change that has not arrived by then is lost.
	arrivesWithin = 10 * time.Second
)

// followed is an object that is changed, and the poll that sees it.
type followed struct {
	at           place
	in           *cluster
	host, header string
	values       func(number int) string
	change       func(value string) string
	// Where there is a gate for it: the first request by what came, the last by what went.
	arrive, leave        string
	gate, goal           float64
	leaveGate, leaveGoal float64
	remote, churn        bool
}

// figure is a row of the outcome; times are milliseconds.
type figure struct {
	ID      string  `json:"id"`
	Changes int     `json:"changes"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
	// SinceAnswer is the same p99 from the API server's answer to the write on.
	SinceAnswer float64 `json:"p99_since_answer"`
	Gate        float64 `json:"gate"`
	Goal        float64 `json:"goal"`
	Holds       bool    `json:"holds"`
	Wrong       int     `json:"wrong"`
	Unit        string  `json:"unit"`
}

// propagation measures how long changes in real API servers take to reach requests.
func propagation(s *stage, changes int, asJSON bool) error {
	address, pods, err := s.setMoving()
	defer s.removeMoving()
	if err != nil {
		return err
	}
	roundTrip, err := s.roundTrip()
	if err != nil {
		return err
	}
	fmt.Printf("           a round trip between the clusters takes %.2f ms; %d changes each\n", roundTrip, changes)
	wrong := 0
	for _, one := range s.followed(pods) {
		figures, err := one.measure("http://"+address+"/", changes, roundTrip)
		if err != nil {
			return err
		}
		for _, made := range figures {
			wrong += made.Wrong
			if asJSON {
				json.NewEncoder(os.Stdout).Encode(made)
				continue
			}
			fmt.Printf("           %-34s p50 %6.2f  p99 %6.2f  max %6.2f ms; since the answer p99 %6.2f; gate %6.2f holds: %-5v goal %6.2f; wrong %d\n",
				made.ID, made.P50, made.P99, made.Max, made.SinceAnswer, made.Gate, made.Holds, made.Goal, made.Wrong)
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d answers were wrong", wrong)
	}
	return nil
}

// roundTrip is that between the clusters, in milliseconds.
func (s *stage) roundTrip() (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	out, err := s.east.inNetwork(self, "rtt", s.west.linkAddress()+":15443")
	if err != nil {
		return 0, err
	}
	took, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	return float64(took) / 1e6, err
}

func (s *stage) followed(pods map[*cluster][]pod) []followed {
	version := func(number int) string { return strconv.Itoa(number) }
	route := followed{
		at: placed("gateway.networking.k8s.io/v1", "httproutes", "propagated"), in: s.east,
		host: "route.test", header: "X-Version", values: version, arrive: "route changed", gate: 10, goal: 3,
		change: func(value string) string {
			return fmt.Sprintf(`{"spec":{"rules":[{"filters":[{"type":"ResponseHeaderModifier","responseHeaderModifier":{"set":[{"name":"X-Version","value":%q}]}}],"backendRefs":[{"name":"near","port":80}]}]}}`, value)
		},
	}
	busy := route
	busy.churn, busy.arrive = true, "route changed under churn"
	// Two versions of the same numbers would be one.
	busy.values = func(number int) string { return "churn-" + strconv.Itoa(number) }
	moved := func(c *cluster, name, host string) followed {
		pair := pods[c]
		addresses := map[string]string{pair[0].name: pair[0].address, pair[1].name: pair[1].address}
		return followed{
			at: placed("discovery.k8s.io/v1", "endpointslices", name+"-0"), in: c, host: host, header: "X-Pod",
			values: func(number int) string { return pair[number%2].name },
			change: func(value string) string {
				return fmt.Sprintf(`{"endpoints":[{"addresses":[%q],"conditions":{"ready":true}}]}`, addresses[value])
			},
		}
	}
	local := moved(s.east, "moving-near", "local.test")
	local.leave, local.leaveGate, local.leaveGoal = "local endpoint removed", 20, 5
	remote := moved(s.west, "moving", "remote.test")
	remote.remote = true
	remote.arrive, remote.gate, remote.goal = "remote endpoint added", 50, 10
	remote.leave, remote.leaveGate, remote.leaveGoal = "remote endpoint removed", 60, 15
	return []followed{route, busy, local, remote}
}

// arrival is when a change was seen where, in nanoseconds since 1970.
type arrival struct {
	answered, event, first, last int64
}

func (f followed) measure(url string, changes int, roundTrip float64) ([]figure, error) {
	server, err := f.in.api()
	if err != nil {
		return nil, err
	}
	events, stopWatch, err := server.watch(f.at)
	if err != nil {
		return nil, err
	}
	defer stopWatch()
	polled, err := f.in.stage.east.poll(url, f.host, f.header)
	if err != nil {
		return nil, err
	}
	defer polled.stop()
	if f.churn {
		stop, err := f.in.stage.churn()
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	wrong := 0
	// Before the first answer the address and the routes are on their way.
	if _, err := awaited(polled.turns, "", patience, new(int)); err != nil {
		return nil, err
	}
	var made []arrival
	for number := 1; number <= changes; number++ {
		time.Sleep(rand.N(pauseMax))
		value := f.values(number)
		version, answered, err := server.patch(f.at, f.change(value))
		if err != nil {
			return nil, err
		}
		came, err := f.came(events, version)
		if err != nil {
			return nil, fmt.Errorf("change %d to %q: %w", number, value, err)
		}
		turned, err := awaited(polled.turns, value, arrivesWithin, &wrong)
		if err != nil {
			return nil, fmt.Errorf("change %d of %s: %w", number, f.at.name, err)
		}
		made = append(made, arrival{answered.UnixNano(), came.UnixNano(), turned.First, turned.Last})
	}
	return f.figures(made, roundTrip, wrong), nil
}

func (f followed) came(events chan event, version string) (time.Time, error) {
	timeout := time.After(arrivesWithin)
	for {
		select {
		case seen, open := <-events:
			if !open {
				return time.Time{}, fmt.Errorf("the watch of %s ended", f.at.name)
			}
			if seen.version == version {
				return seen.at, nil
			}
		case <-timeout:
			return time.Time{}, fmt.Errorf("the watch of %s told nothing of version %s", f.at.name, version)
		}
	}
}

// awaited is the turn to a value, to any if it is empty; what else came before is wrong.
func awaited(turns chan turn, value string, within time.Duration, wrong *int) (turn, error) {
	timeout := time.After(within)
	last := "nothing"
	for {
		select {
		case made, open := <-turns:
			if !open {
				return made, fmt.Errorf("the poll ended")
			}
			if made.Wrong == "" && (value == "" || made.Value == value) {
				return made, nil
			}
			last = made.Value + made.Wrong
			*wrong++
			if value != "" {
				fmt.Printf("           wrong: %q, not %q\n", last, value)
			}
		case <-timeout:
			return turn{}, fmt.Errorf("%q was not answered within %s, but %q", value, within, last)
		}
	}
}

func (f followed) figures(made []arrival, roundTrip float64, wrong int) []figure {
	extra := 0.0
	if f.remote {
		extra = roundTrip
	}
	var rows []figure
	if f.arrive != "" {
		rows = append(rows, figureOf(f.arrive, made, func(a arrival) int64 { return a.first }, f.gate+extra, f.goal+extra))
	}
	if f.leave != "" {
		rows = append(rows, figureOf(f.leave, made, func(a arrival) int64 { return a.last }, f.leaveGate+extra, f.leaveGoal+extra))
	}
	rows[0].Wrong = wrong
	return rows
}

func figureOf(id string, made []arrival, at func(arrival) int64, gate, goal float64) figure {
	since := func(from func(arrival) int64) []float64 {
		var took []float64
		for _, one := range made {
			// Who sees it before the bare watch does took no time.
			took = append(took, max(0, float64(at(one)-from(one))/1e6))
		}
		slices.Sort(took)
		return took
	}
	seen := since(func(a arrival) int64 { return a.event })
	answered := since(func(a arrival) int64 { return a.answered })
	quantile := func(sorted []float64, q int) float64 { return sorted[min(len(sorted)-1, len(sorted)*q/100)] }
	p99 := quantile(seen, 99)
	return figure{
		ID: id, Changes: len(made), P50: quantile(seen, 50), P99: p99, Max: seen[len(seen)-1],
		SinceAnswer: quantile(answered, 99), Gate: gate, Goal: goal, Holds: p99 <= gate, Unit: "ms",
	}
}

// propagationShown is the smallest size, for the list of tests.
func propagationShown(s *stage) error { return propagation(s, 30, false) }
