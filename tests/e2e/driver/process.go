package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// processOf finds the process of Spanway in a pod. Its cgroup tells which pod that is: addresses of
// pods are the same in every run of the clusters on this machine, UIDs never.
func processOf(podUID string) (int, error) {
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, path := range processes {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(line, []byte("/spanway\x00")) {
			continue
		}
		groups, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cgroup"))
		if err == nil && podUID != "" && strings.Contains(string(groups), "/pod"+podUID+"/") {
			return strconv.Atoi(filepath.Base(filepath.Dir(path)))
		}
	}
	return 0, fmt.Errorf("no process of Spanway runs in the pod %q", podUID)
}

// kill ends the process of Spanway in a pod as the kernel does when memory runs out.
func kill(podUID string) error {
	process, err := processOf(podUID)
	if err != nil {
		return err
	}
	return syscall.Kill(process, syscall.SIGKILL)
}

// socketTables reads the tables of the sockets in the network of a pod.
func socketTables(podUID string) (string, error) {
	process, err := processOf(podUID)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, table := range []string{"tcp", "tcp6"} {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", process, table))
		if err == nil {
			text.Write(content)
		}
	}
	return text.String(), nil
}
