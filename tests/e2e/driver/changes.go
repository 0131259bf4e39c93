package main

import (
	"fmt"
	"strings"
	"time"
)

// Enough calls for a failure in fifty thousand to be seen, at a rate that two cores carry.
const (
	podCalls = 50000
	podRate  = 600
)

// mixed are loads of the three kinds of client: HTTP/1 with keep-alive, HTTP/2, and one with POSTs.
func (s *stage) mixed(rate int, posts string) ([]load, error) {
	var begun []load
	for _, one := range []struct{ url, proto string }{{web, "h1"}, {webH2, "h2"}} {
		made, err := s.east.begin(one.url, rate/2, map[string]string{"proto": one.proto, "posts": posts, "cluster": "west", "clients": "12"})
		if err != nil {
			return begun, err
		}
		begun = append(begun, made)
	}
	return begun, nil
}

func remotePodsChange(s *stage) error {
	begun, err := s.mixed(podRate, "34")
	if err != nil {
		return err
	}
	start := time.Now()
	err = during(podCalls, func() error { return s.webChanges(start) }, begun...)
	if counted := s.noneTwice(begun); counted != nil && err == nil {
		return counted
	}
	return err
}

// webChanges rolls out, scales and deletes the pods of web, until a load that began at `start` has
// made as many calls as the rule names.
func (s *stage) webChanges(start time.Time) error {
	if err := s.west.roll(shop, "web"); err != nil {
		return err
	}
	for _, count := range []string{"5", "1", "2"} {
		if _, err := s.west.kubectl("-n", shop, "scale", "deployment/web", "--replicas="+count); err != nil {
			return err
		}
		if err := s.west.rolled(shop, "web"); err != nil {
			return err
		}
	}
	for range 2 {
		pod := strings.Fields(s.west.podsOf("app=web"))
		if len(pod) == 0 {
			return fmt.Errorf("west has no pod of web")
		}
		if err := s.west.remove(shop, "pod/"+pod[0]); err != nil {
			return err
		}
		if err := s.west.rolled(shop, "web"); err != nil {
			return err
		}
	}
	for time.Since(start) < podCalls/podRate*time.Second*11/10 {
		if err := s.west.roll(shop, "web"); err != nil {
			return err
		}
	}
	return nil
}

// noneTwice shows that no POST of these loads was executed more than once.
func (s *stage) noneTwice(loads []load) error {
	for _, one := range loads {
		executed, twice, err := s.executed(one.name)
		if err != nil {
			return err
		}
		fmt.Printf("           %s: %d ids executed, %d of them twice\n", one.name, executed, twice)
		if executed == 0 || twice > 0 {
			return fmt.Errorf("%s: %d ids executed, %d of them more than once", one.name, executed, twice)
		}
	}
	return nil
}

// underLoad does something while clients of all kinds call.
func (s *stage) underLoad(do func() error) error {
	begun, err := s.mixed(200, "33")
	if err != nil {
		return err
	}
	err = during(500, do, begun...)
	if counted := s.noneTwice(begun); counted != nil && err == nil {
		return counted
	}
	return err
}

func gatewaysRoll(s *stage) error {
	return s.underLoad(func() error { return s.both(func(c *cluster) error { return c.roll(system, "spanway-gateway") }) })
}

func controllersRoll(s *stage) error {
	return s.underLoad(func() error { return s.both(func(c *cluster) error { return c.roll(system, "spanway-controller") }) })
}

func allRoll(s *stage) error {
	return s.underLoad(func() error {
		return s.both(func(c *cluster) error {
			for _, one := range []string{"spanway-gateway", "spanway-controller"} {
				if _, err := c.kubectl("-n", system, "rollout", "restart", "deployment/"+one); err != nil {
					return err
				}
			}
			if err := c.deleteLeader(); err != nil {
				return err
			}
			return c.rolled(system, "spanway-controller", "spanway-gateway")
		})
	})
}

// both does the same in both clusters at once.
func (s *stage) both(do func(*cluster) error) error {
	errors := make(chan error, 2)
	for _, c := range s.clusters() {
		go func() { errors <- do(c) }()
	}
	first, second := <-errors, <-errors
	if first != nil {
		return first
	}
	return second
}

// leader is the address, name and UID of the controller that holds the lease.
func (c *cluster) leader() (address, name, uid string, err error) {
	// One who has just left may still be named until the next has taken over.
	err = eventually("a pod of "+c.name+" leads", func() error {
		address, _, _ = strings.Cut(c.get(system, "lease/spanway-controller", "{.spec.holderIdentity}"), ":")
		path := fmt.Sprintf(`{.items[?(@.status.podIP==%q)].metadata`, address)
		found := strings.Fields(c.get(system, "pods", path+".name} "+path+".uid}"))
		if len(found) != 2 {
			return fmt.Errorf("the address %q is that of %q", address, found)
		}
		name, uid = found[0], found[1]
		return nil
	})
	return address, name, uid, err
}

// deleteLeader takes the leader away with its pod, without a word to it.
func (c *cluster) deleteLeader() error {
	_, name, _, err := c.leader()
	if err != nil {
		return err
	}
	_, err = c.kubectl("-n", system, "delete", "pod", name, "--grace-period=0", "--force")
	return err
}

// killLeader kills the process of the leader, and again whenever the kubelet has started it anew,
// until another one leads.
func (c *cluster) killLeader() error {
	_, killed, uid, err := c.leader()
	if err != nil {
		return err
	}
	if err := kill(uid); err != nil {
		return err
	}
	start := time.Now()
	err = eventually("another controller of "+c.name+" leads", func() error {
		_, name, _, err := c.leader()
		if err == nil && name == killed {
			_ = kill(uid)
			err = fmt.Errorf("%s leads", name)
		}
		return err
	})
	fmt.Printf("           %s: the next one led %.0f s after the leader was killed\n", c.name, time.Since(start).Seconds())
	return err
}

// leaderKilled kills the leader while a gateway leaves and waits for its word.
func leaderKilled(s *stage) error {
	return s.underLoad(func() error {
		return s.both(func(c *cluster) error {
			if _, err := c.kubectl("-n", system, "rollout", "restart", "deployment/spanway-gateway"); err != nil {
				return err
			}
			err := eventually("a gateway of "+c.name+" leaves", func() error {
				const ending = "{.items[*].metadata.deletionTimestamp}"
				out, err := c.kubectl("-n", system, "get", "pods", "-l", "app.kubernetes.io/component=gateway", "-o", "jsonpath="+ending)
				if err == nil && strings.TrimSpace(out) == "" {
					err = fmt.Errorf("none does")
				}
				return err
			})
			if err != nil {
				return err
			}
			if err := c.killLeader(); err != nil {
				return err
			}
			return c.rolled(system, "spanway-gateway", "spanway-controller")
		})
	})
}

// awayTime is how long the API server is away.
const awayTime = 2 * time.Minute

func apiServerAway(s *stage) error {
	script := func(verb string) error {
		_, err := command("", s.repository+"/tests/clusters/apiserver", s.dir, "west", verb)
		return err
	}
	restarts := func() string {
		return s.west.get(system, "pods", "{.items[*].metadata.name} {.items[*].status.containerStatuses[*].restartCount}")
	}
	before := restarts()
	err := s.underLoad(func() error {
		if err := script("stop"); err != nil {
			return err
		}
		time.Sleep(awayTime)
		return script("start")
	})
	if err != nil {
		return err
	}
	// It catches up: a change made now is seen in the other cluster.
	if err := s.west.remove(shop, "serviceexport/talk"); err != nil {
		return err
	}
	name := func() string { return s.east.get(shop, "serviceimport/talk", "{.metadata.name}") }
	if err := is("the import of talk is gone", "", name); err != nil {
		return err
	}
	if err := s.west.apply(exportOf("talk")); err != nil {
		return err
	}
	if err := is("the import of talk is back", "talk", name); err != nil {
		return err
	}
	if after := restarts(); after != before {
		return fmt.Errorf("pods were %s, are %s", before, after)
	}
	return nil
}
