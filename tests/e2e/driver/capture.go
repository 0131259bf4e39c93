package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/signal"
	"syscall"
)

// captured is what passed between the nodes.
type captured struct {
	Frames int
	// Link counts frames from or to the port of links, Plain those that hold text of HTTP.
	Link, Plain int
	Examples    []string
}

// allProtocols is ETH_P_ALL in network byte order.
const allProtocols = 0x0300

// capture counts frames in the present network until it is interrupted, then prints what it saw.
func capture() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	socket, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, allProtocols)
	if err != nil {
		os.Stderr.WriteString("capture: " + err.Error() + "\n")
		os.Exit(1)
	}
	// Big enough for what comes while this is not scheduled.
	_ = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<20)
	os.Stderr.WriteString("capturing\n")
	frames := make(chan []byte, 1024)
	go func() {
		for {
			frame := make([]byte, 65536)
			count, _, err := syscall.Recvfrom(socket, frame, 0)
			if err != nil {
				return
			}
			frames <- frame[:count]
		}
	}()
	var seen captured
	for {
		select {
		case <-ended:
			json.NewEncoder(os.Stdout).Encode(seen)
			return
		case frame := <-frames:
			seen.take(frame)
		}
	}
}

// Texts that every call of the tests holds, in one direction or the other.
var plainTexts = [][]byte{[]byte("HTTP/1.1"), []byte("PRI * HTTP/2"), []byte("X-Id"), []byte("\"pod\":"), []byte(`"cluster":"west"`)}

func (c *captured) take(frame []byte) {
	c.Frames++
	const ethernet = 14
	if len(frame) > ethernet+20 {
		header := int(frame[ethernet]&0xf) * 4
		if at := ethernet + header; frame[ethernet+9] == syscall.IPPROTO_TCP && len(frame) >= at+4 {
			for _, port := range [][]byte{frame[at : at+2], frame[at+2 : at+4]} {
				if int(port[0])<<8|int(port[1]) == 15443 {
					c.Link++
				}
			}
		}
	}
	for _, text := range plainTexts {
		if bytes.Contains(frame, text) {
			c.Plain++
			if len(c.Examples) < 3 {
				c.Examples = append(c.Examples, string(frame[:min(len(frame), 300)]))
			}
			return
		}
	}
}
