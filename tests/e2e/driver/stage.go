package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	system = "spanway-system"
	shop   = "shop"
	// A condition that is not met after this time will not be met; it allows for a busy machine.
	patience = 90 * time.Second
	poll     = 100 * time.Millisecond
)

// stage is two clusters, and what is needed to act on them.
type stage struct {
	dir, repository string
	env             map[string]string
	east, west      *cluster
}

type cluster struct {
	stage *stage
	name  string
	// clientAddress is remembered so that the client is reached while the API server is away.
	clientAddress string
}

func open(dir, repository string) (*stage, error) {
	s := &stage{dir: dir, repository: repository, env: map[string]string{}}
	s.east, s.west = &cluster{stage: s, name: "east"}, &cluster{stage: s, name: "west"}
	text, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found {
			s.env[name] = strings.Trim(value, "'")
		}
	}
	return s, nil
}

func (s *stage) clusters() []*cluster { return []*cluster{s.east, s.west} }

func (c *cluster) other() *cluster {
	if c == c.stage.east {
		return c.stage.west
	}
	return c.stage.east
}

// command runs a program; its error holds what it said.
func command(input string, name string, arguments ...string) (string, error) {
	run := exec.Command(name, arguments...)
	var out, errors bytes.Buffer
	run.Stdin, run.Stdout, run.Stderr = strings.NewReader(input), &out, &errors
	if err := run.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s%s", filepath.Base(name), strings.Join(arguments, " "), err, errors.String(), out.String())
	}
	return out.String(), nil
}

func (c *cluster) kubectlWith(input string, arguments ...string) (string, error) {
	all := append([]string{"--kubeconfig", filepath.Join(c.stage.dir, c.name+".kubeconfig"), "--cache-dir", filepath.Join(c.stage.dir, "kube-cache")}, arguments...)
	return command(input, filepath.Join(c.stage.dir, "bin", "kubectl"), all...)
}

func (c *cluster) kubectl(arguments ...string) (string, error) {
	return c.kubectlWith("", arguments...)
}

func (c *cluster) apply(yaml string) error {
	_, err := c.kubectlWith(yaml, "apply", "-f", "-")
	return err
}

func (c *cluster) remove(namespace string, what ...string) error {
	_, err := c.kubectl(append([]string{"-n", namespace, "delete", "--ignore-not-found"}, what...)...)
	return err
}

// get is one value of an object; empty where the object or the value is not there.
func (c *cluster) get(namespace, object, path string) string {
	out, err := c.kubectl("-n", namespace, "get", "--ignore-not-found", object, "-o", "jsonpath="+path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(out)
}

// condition is status and reason of a condition of an object, as `True/Accepted`.
func (c *cluster) condition(namespace, object, list, kind string) string {
	return c.get(namespace, object, fmt.Sprintf("{%s[?(@.type==%q)].status}/{%s[?(@.type==%q)].reason}", list, kind, list, kind))
}

func (c *cluster) roll(namespace string, deployments ...string) error {
	for _, one := range deployments {
		if _, err := c.kubectl("-n", namespace, "rollout", "restart", "deployment/"+one); err != nil {
			return err
		}
	}
	return c.rolled(namespace, deployments...)
}

func (c *cluster) rolled(namespace string, deployments ...string) error {
	for _, one := range deployments {
		if _, err := c.kubectl("-n", namespace, "rollout", "status", "--timeout=120s", "deployment/"+one); err != nil {
			return err
		}
	}
	// The pods that were replaced are part of it: they drain while the new ones serve already.
	return eventually("no pod of "+namespace+" is ending", func() error {
		out, err := c.kubectl("-n", namespace, "get", "pods", "-o", "jsonpath={.items[*].metadata.deletionTimestamp}")
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("pods end until %s", out)
		}
		return err
	})
}

// inNetwork runs a program in the network of the cluster's node.
func (c *cluster) inNetwork(name string, arguments ...string) (string, error) {
	space := "--net=/run/netns/" + c.stage.env[c.name+"_netns"]
	return command("", "nsenter", append([]string{space, name}, arguments...)...)
}

// client asks the client pod, from its node, because the API server may be away.
func (c *cluster) client(path string, query map[string]string) (string, error) {
	if c.clientAddress == "" {
		c.clientAddress = c.get(shop, "pod/client", "{.status.podIP}")
	}
	values := url.Values{}
	for name, value := range query {
		values.Set(name, value)
	}
	return c.inNetwork(filepath.Join(c.stage.dir, "workload"), "get", "http://"+c.clientAddress+":8081"+path+"?"+values.Encode())
}

// answer is what a service of the tests says of itself.
type answer struct {
	Pod, Cluster, App, Method, Path, Proto, ID, Trace, Forwarded string
}

type outcome struct {
	Status      int
	Error, Text string
	Answer      answer
}

func (c *cluster) call(url string, header ...string) (outcome, error) {
	query := map[string]string{"url": url}
	if len(header) > 0 {
		query["header"] = header[0]
	}
	var made outcome
	text, err := c.client("/call", query)
	if err != nil {
		return made, err
	}
	return made, json.Unmarshal([]byte(text), &made)
}

// answered waits until a call is answered by the service and cluster that it should be.
func (c *cluster) answered(url, app, by string) error {
	return eventually(fmt.Sprintf("%s is answered by %s of %s", url, app, by), func() error {
		made, err := c.call(url)
		if err != nil {
			return err
		}
		if made.Status != 200 || made.Answer.App != app || made.Answer.Cluster != by {
			return fmt.Errorf("status %d %s %s by %q of %q", made.Status, made.Error, made.Text, made.Answer.App, made.Answer.Cluster)
		}
		return nil
	})
}

// eventually waits for a condition, and says what stood in its way last.
func eventually(what string, holds func() error) error {
	return within(patience, what, holds)
}

// within is eventually where something else than patience says for how long.
func within(wait time.Duration, what string, holds func() error) error {
	end := time.Now().Add(wait)
	for {
		err := holds()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("gave up after %s: %s: %w", wait.Round(time.Second), what, err)
		}
		time.Sleep(poll)
	}
}

// is waits until a value is what it should be.
func is(what, wanted string, value func() string) error {
	return eventually(what, func() error {
		if now := value(); now != wanted {
			return fmt.Errorf("%q, not %q", now, wanted)
		}
		return nil
	})
}

// evidence leaves the logs of Spanway in the folder of the run, and shows the last lines.
func evidence(s *stage) {
	if s == nil || s.env["prefix"] == "" {
		return
	}
	for _, c := range s.clusters() {
		out, _ := c.kubectl("-n", system, "get", "pods,services,endpointslices,clusterlinks", "-o", "wide")
		fmt.Printf("--- %s\n%s", c.name, out)
		for _, part := range []string{"controller", "gateway"} {
			logs, _ := c.kubectl("-n", system, "logs", "--prefix", "--tail=4", "-l", "app.kubernetes.io/component="+part)
			for line := range strings.Lines(logs) {
				if line = strings.TrimSpace(line); !strings.Contains(line, `"request_id"`) {
					fmt.Print(line[:min(len(line), 400)], "\n")
				}
			}
		}
	}
}
