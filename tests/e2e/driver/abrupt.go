package main

import (
	"fmt"
	"strings"
	"time"
)

// sentCodes are the gateway's codes for a request that an endpoint may have seen.
var sentCodes = map[string]bool{"endpoint-closed": true, "answer-broken": true, "request-not-taken": true}

// The usual pause of a pod that ends, and how it goes and comes.
const (
	pausePath   = `"path":"/spec/template/spec/containers/0/lifecycle"`
	withoutIt   = `[{"op":"remove",` + pausePath + `}]`
	withItAgain = `[{"op":"add",` + pausePath + `,"value":{"preStop":{"sleep":{"seconds":5}}}}]`
)

func (c *cluster) patchWeb(patch string) error {
	if _, err := c.kubectl("-n", shop, "patch", "deployment/web", "--type=json", "-p", patch); err != nil {
		return err
	}
	return c.rolled(shop, "web")
}

// remotePodsEndAtOnce is remotePodsChange where pods stop serving before anybody knows.
func remotePodsEndAtOnce(s *stage) error {
	begun, err := s.mixed(podRate, "34")
	if err != nil {
		return err
	}
	start := time.Now()
	err = s.west.patchWeb(withoutIt)
	if err == nil {
		err = s.webChanges(start)
	}
	// This roll out ends pods without the pause too.
	if restored := s.west.patchWeb(withItAgain); err == nil {
		err = restored
	}
	requests, problems := 0, []string{}
	for _, one := range begun {
		made, ended := one.end(1 + podCalls/len(begun))
		if ended != nil {
			return ended
		}
		fmt.Printf("           %s: %s, failed as %v\n", one.name, made, made.FailedAs)
		requests += made.Requests
		problems = append(problems, unsent(one.name, made)...)
	}
	if requests < podCalls {
		problems = append(problems, fmt.Sprintf("%d requests, fewer than %d", requests, podCalls))
	}
	if counted := s.noneTwice(begun); counted != nil {
		problems = append(problems, counted.Error())
	}
	if len(problems) > 0 && err == nil {
		err = fmt.Errorf("%s", strings.Join(problems, "\n"))
	}
	return err
}

// unsent are the failures of a load other than of POSTs that had been sent.
func unsent(name string, made result) []string {
	var problems []string
	for as, count := range made.FailedAs {
		parts := strings.Fields(as)
		if parts[0] != "POST" || parts[1] != "502" || !sentCodes[parts[2]] {
			problems = append(problems, fmt.Sprintf("%s: %d times %s, as in\n%s", name, count, as, strings.Join(made.Errors, "\n")))
		}
	}
	if made.Retried > 0 {
		problems = append(problems, fmt.Sprintf("%s: %d calls were sent again by the client", name, made.Retried))
	}
	return problems
}
