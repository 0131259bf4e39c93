package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"time"
)

const (
	pollEvery = time.Millisecond
	rttProbes = 21
)

// turn is an answer that differs from the one before.
type turn struct {
	Value string
	// First is when the first request with this answer was sent, Last when the last one with the
	// answer before was; both in nanoseconds since 1970.
	First, Last int64
	// Wrong says what no answer may be; Value is empty then.
	Wrong string
	// Requests so far.
	Requests int
}

// pollHere asks the same again and again over one connection, from the present network, and prints
// each turn; it ends with its standard input.
func pollHere() {
	flags := flag.NewFlagSet("poll", flag.ExitOnError)
	url := flags.String("url", "", "what is asked for")
	host := flags.String("host", "", "the host that it is asked of")
	header := flags.String("header", "", "the header of the answer that tells answers apart")
	flags.Parse(os.Args[2:])
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	out := json.NewEncoder(os.Stdout)
	web := http.Client{Timeout: 10 * time.Second}
	now := turn{}
	for range time.Tick(pollEvery) {
		request, err := http.NewRequest(http.MethodGet, *url, nil)
		if err != nil {
			fmt.Fprintln(os.Stderr, "poll:", err)
			os.Exit(1)
		}
		request.Host = *host
		sent := time.Now().UnixNano()
		value, wrong := asked(&web, request, *header)
		now.Requests++
		switch {
		case wrong != "":
			out.Encode(turn{First: sent, Wrong: wrong, Requests: now.Requests})
		case value != now.Value:
			now.Value, now.First = value, sent
			out.Encode(now)
			fallthrough
		default:
			now.Last = sent
		}
	}
}

func asked(web *http.Client, request *http.Request, header string) (value, wrong string) {
	answer, err := web.Do(request)
	if err != nil {
		return "", err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	value = answer.Header.Get(header)
	if err != nil || answer.StatusCode != http.StatusOK || value == "" {
		return "", fmt.Sprintf("%s, %s: %q, %v: %s", answer.Status, header, value, err, body)
	}
	return value, ""
}

// poller is a poll that runs in the network of a cluster's node.
type poller struct {
	run   *exec.Cmd
	end   io.Closer
	turns chan turn
}

func (c *cluster) poll(url, host, header string) (*poller, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	run := exec.Command("nsenter", "--net=/run/netns/"+c.stage.env[c.name+"_netns"], self,
		"poll", "-url", url, "-host", host, "-header", header)
	run.Stderr = os.Stderr
	in, err := run.StdinPipe()
	if err != nil {
		return nil, err
	}
	said, err := run.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &poller{run, in, make(chan turn, 4096)}
	go func() {
		defer close(p.turns)
		lines := bufio.NewScanner(said)
		for lines.Scan() {
			var made turn
			if json.Unmarshal(lines.Bytes(), &made) == nil {
				p.turns <- made
			}
		}
	}()
	return p, run.Start()
}

func (p *poller) stop() {
	p.end.Close()
	p.run.Wait()
}

// printRTT prints the median time that a TCP connection to an address takes from the present network.
func printRTT(address string) {
	var took []time.Duration
	for range rttProbes {
		start := time.Now()
		made, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			fmt.Fprintln(os.Stderr, "rtt:", err)
			os.Exit(1)
		}
		took = append(took, time.Since(start))
		made.Close()
	}
	slices.Sort(took)
	fmt.Println(took[len(took)/2].Nanoseconds())
}
