package main

import (
	"fmt"
	"strings"
	"time"
)

const (
	// How long certificates last in this test: an hour of a day, in small. Renewal is due between a
	// half and two thirds of it.
	shortLife = 400 * time.Second
	// What is left of the first certificate that ends when the authority comes back: its controllers
	// and the API server have to start, and gateways to ask again.
	leftAtReturn = 140 * time.Second
)

// ends is when the certificate of each gateway ends, by pod.
func (c *cluster) ends() (map[string]time.Time, error) {
	out, err := c.kubectl("-n", system, "get", "pods", "-l", "app.kubernetes.io/component=gateway", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{"\n"}{end}`)
	if err != nil {
		return nil, err
	}
	ends := map[string]time.Time{}
	for line := range strings.Lines(out) {
		name, address, _ := strings.Cut(strings.TrimSpace(line), " ")
		seconds, err := c.metricOf(address, func(metric string) bool {
			return strings.HasPrefix(metric, `spanway_certificate_expiry_timestamp_seconds{kind="svid"`)
		})
		if err != nil {
			return nil, err
		}
		ends[c.name+"/"+name] = time.Unix(int64(seconds), 0)
	}
	return ends, nil
}

func (s *stage) ends() (map[string]time.Time, error) {
	all := map[string]time.Time{}
	for _, c := range s.clusters() {
		of, err := c.ends()
		if err != nil {
			return nil, err
		}
		for name, end := range of {
			all[name] = end
		}
	}
	return all, nil
}

// authorityAway takes the controllers and the API servers of both clusters away for most of the life
// of a certificate. Nothing fails, and certificates are renewed once they are back.
func authorityAway(s *stage) error {
	err := s.both(func(c *cluster) error {
		if err := c.reinstall(fmt.Sprintf("certificateLife=%.0fs", shortLife.Seconds())); err != nil {
			return err
		}
		return c.roll(system, "spanway-gateway")
	})
	if err != nil {
		return err
	}
	return s.underLoad(func() error {
		before, err := s.ends()
		if err != nil {
			return err
		}
		back, err := s.away(before)
		if err != nil {
			return err
		}
		// How long controllers take to come back is Kubernetes' affair; the certificates may not end.
		err = within(time.Until(firstEnd(before)), "every gateway has a new certificate", func() error {
			now, err := s.ends()
			if err != nil {
				return err
			}
			for name, end := range before {
				if !now[name].After(end) {
					return fmt.Errorf("that of %s ends at %s, as before", name, now[name].Format(time.TimeOnly))
				}
			}
			return nil
		})
		fmt.Printf("           %d gateways were certified anew %.0f s after the authority was back\n", len(before), time.Since(back).Seconds())
		return err
	})
}

// firstEnd is when the first of these certificates ends.
func firstEnd(ends map[string]time.Time) time.Time {
	first := time.Now().Add(shortLife)
	for _, end := range ends {
		if end.Before(first) {
			first = end
		}
	}
	return first
}

// away is while nobody can sign; it says when that ended.
func (s *stage) away(ends map[string]time.Time) (time.Time, error) {
	first := firstEnd(ends)
	replicas := func(count string) error {
		return s.both(func(c *cluster) error {
			_, err := c.kubectl("-n", system, "scale", "deployment/spanway-controller", "--replicas="+count)
			return err
		})
	}
	servers := func(verb string) error {
		return s.both(func(c *cluster) error {
			_, err := command("", s.repository+"/tests/clusters/apiserver", s.dir, c.name, verb)
			return err
		})
	}
	if err := replicas("0"); err != nil {
		return first, err
	}
	err := s.both(func(c *cluster) error {
		return is("no controller of "+c.name+" runs", "", func() string {
			return c.get(system, "pods", `{.items[?(@.metadata.labels.app\.kubernetes\.io/component=="controller")].metadata.name}`)
		})
	})
	if err != nil {
		return first, err
	}
	start := time.Now()
	if err := servers("stop"); err != nil {
		return start, err
	}
	// How long it may last is what this is about.
	time.Sleep(time.Until(first.Add(-leftAtReturn)))
	fmt.Printf("           away for %.0f s of a life of %.0f s, until %.0f s before the first end\n",
		time.Since(start).Seconds(), shortLife.Seconds(), time.Until(first).Seconds())
	long := time.Since(start)
	back := time.Now()
	if err := servers("start"); err != nil {
		return back, err
	}
	if err := replicas("2"); err != nil {
		return back, err
	}
	if long < shortLife/2 {
		return back, fmt.Errorf("it was away for %s only", long)
	}
	return back, nil
}
