package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
)

// clientsAddress shows that with `externalTrafficPolicy: Local` a service learns who called, be it
// this machine or the node of the other cluster, and never what a client claims.
func clientsAddress(s *stage) error {
	if err := s.east.reinstall("externalTrafficPolicy=Local"); err != nil {
		return err
	}
	if err := s.east.apply(edge + "---" + routeTo("edge-near", "gateway", "/", "near")); err != nil {
		return err
	}
	err := s.forwarded()
	if undone := s.east.remove(shop, "httproute/edge-near", "gateway/edge"); err == nil {
		err = undone
	}
	return err
}

func (s *stage) forwarded() error {
	var url string
	err := eventually("the Gateway has an address, and its Service the policy", func() error {
		address := s.east.gatewayAddress("edge")
		url = "http://" + address + "/"
		policies := s.east.get(system, "services", fmt.Sprintf(`{.items[?(@.status.loadBalancer.ingress[0].ip==%q)].spec.externalTrafficPolicy}`, address))
		if address == "" || policies != "Local" {
			return fmt.Errorf("address %q, policy %q", address, policies)
		}
		return nil
	})
	if err != nil {
		return err
	}
	machine := func() (string, error) {
		request, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return "", err
		}
		request.Header.Set("X-Forwarded-For", "192.0.2.7")
		got, err := (&http.Client{Timeout: peerTimeout, Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		if err != nil {
			return "", err
		}
		defer got.Body.Close()
		text, err := io.ReadAll(got.Body)
		return string(text), err
	}
	node := func() (string, error) { return s.west.inNetwork(filepath.Join(s.dir, "workload"), "get", url) }
	for _, caller := range []struct {
		what, address string
		call          func() (string, error)
	}{{"this machine", s.env["host_address"], machine}, {"the node of west", s.env["west_address"], node}} {
		// Either gateway may take the call.
		for range 10 {
			err := eventually("a service of east hears that "+caller.what+" called", func() error {
				text, err := caller.call()
				if err != nil {
					return err
				}
				var heard answer
				if err := json.Unmarshal([]byte(text), &heard); err != nil {
					return fmt.Errorf("%w: %s", err, text)
				}
				if heard.App != "near" || heard.Forwarded != caller.address {
					return fmt.Errorf("%s heard %q, not %q", heard.App, heard.Forwarded, caller.address)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
