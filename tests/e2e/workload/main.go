// Workload is what runs in the pods of the end-to-end tests: a service, a ledger of what was
// executed, and clients that check every answer. One static binary, FROM scratch.
//
//	workload serve    the service: HTTP/1 and h2c on 8080, TCP that speaks first on 9000, TLS on 8443
//	workload ledger   counts the ids that the services executed, on 8080
//	workload client   makes load and single calls as its control port 8081 is told
//	workload get URL  prints the answer to a GET; code 1 unless it is 200
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	var err error
	switch mode {
	case "serve":
		err = serve()
	case "ledger":
		err = ledger()
	case "client":
		err = client()
	case "get":
		err = get(os.Args[len(os.Args)-1])
	default:
		err = fmt.Errorf("usage: workload serve|ledger|client|get URL")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(1)
	}
}

// getTimeout bounds a control call: the end of a load may wait for enough calls, and then for the
// last of them.
const getTimeout = reachWait + 2*callTimeout

func get(url string) error {
	web := http.Client{Timeout: getTimeout}
	answer, err := web.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", answer.Status)
	}
	return nil
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
