// Driver installs Spanway in two running clusters and shows, test by test, that its rules hold.
// A test is named after its rule; the last line counts those that passed and failed.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// A test shows one rule; what it returns is why the rule did not hold.
type test struct {
	name string
	show func(*stage) error
}

func main() {
	// What has to run in another network runs as a child.
	if len(os.Args) > 1 && child(os.Args[1]) {
		return
	}
	dir := flag.String("dir", "", "folder of the clusters")
	repository := flag.String("repository", ".", "the checkout")
	installed := flag.Bool("installed", false, "Spanway is installed and linked already")
	changes := flag.Int("propagation", 0, "measure how long so many changes of each kind take, in place of the tests")
	asJSON := flag.Bool("json", false, "one object a line for each figure of -propagation")
	flag.Parse()
	s, err := open(*dir, *repository)
	if err == nil && !*installed {
		err = timed("install Spanway and link the clusters", func() error { return install(s) })
	}
	if err != nil {
		fmt.Println("FAILED  ", err)
		evidence(s)
		fmt.Println("0 passed, 1 failed")
		os.Exit(1)
	}
	if *changes > 0 {
		// The figures are to be of the gateways, not of their tenth of a machine that they share with
		// two API servers.
		err := s.both(func(c *cluster) error {
			return c.reinstall("gateway.resources.requests.cpu=500m", "gateway.accessLog=false")
		})
		if err == nil {
			err = propagation(s, *changes, *asJSON)
		}
		if err != nil {
			fmt.Println("FAILED  ", err)
			evidence(s)
			os.Exit(1)
		}
		return
	}
	passed, failures := 0, []string{}
	all := tests()
	for _, test := range notYet() {
		if len(flag.Args()) == 0 {
			fmt.Printf("not yet  %s\n", test.name)
		} else {
			all = append(all, test)
		}
	}
	for _, test := range all {
		if !chosen(test.name, flag.Args()) {
			continue
		}
		if err := timed(test.name, func() error { return test.show(s) }); err != nil {
			failure := fmt.Sprintf("FAILED   %s:\n  %s", test.name, strings.ReplaceAll(err.Error(), "\n", "\n  "))
			fmt.Println(failure)
			failures = append(failures, failure)
			continue
		}
		passed++
	}
	if len(failures) > 0 {
		evidence(s)
		// Once more after all the evidence, where a log that was cut short still has them.
		for _, failure := range failures {
			fmt.Println(brief(failure))
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, len(failures))
	if len(failures) > 0 || passed == 0 {
		os.Exit(1)
	}
}

// brief is the beginning of a failure.
func brief(failure string) string {
	const linesMax, bytesMax = 6, 1500
	lines := strings.Split(failure, "\n")
	text := strings.Join(lines[:min(len(lines), linesMax)], "\n")
	return text[:min(len(text), bytesMax)]
}

// child runs a part that is a process of its own; false if there is no such part.
func child(part string) bool {
	switch part {
	case "capture":
		capture()
	case "poll":
		pollHere()
	case "rtt":
		printRTT(os.Args[2])
	case "issue":
		if err := issue(); err != nil {
			fmt.Fprintln(os.Stderr, "issue:", err)
			os.Exit(1)
		}
	default:
		return false
	}
	return true
}

func chosen(name string, words []string) bool {
	for _, word := range words {
		if strings.Contains(name, word) {
			return true
		}
	}
	return len(words) == 0
}

func timed(name string, do func() error) error {
	start := time.Now()
	fmt.Printf("         %s ...\n", name)
	err := do()
	if err == nil {
		fmt.Printf("ok       %s (%.0f s)\n", name, time.Since(start).Seconds())
	}
	return err
}
