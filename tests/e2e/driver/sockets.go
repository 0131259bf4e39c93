package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// socketTables finds a process of Spanway whose network has this address and reads its tables.
func socketTables(podIP string) (string, error) {
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return "", err
	}
	for _, path := range processes {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(line, []byte("/spanway\x00")) {
			continue
		}
		process := filepath.Dir(path)
		routes, err := os.ReadFile(process + "/net/fib_trie")
		if err != nil || !strings.Contains(string(routes), "-- "+podIP+"\n") {
			continue
		}
		var text strings.Builder
		for _, table := range []string{"tcp", "tcp6"} {
			content, err := os.ReadFile(process + "/net/" + table)
			if err == nil {
				text.Write(content)
			}
		}
		return text.String(), nil
	}
	return "", fmt.Errorf("no process of Spanway has the address %s", podIP)
}
