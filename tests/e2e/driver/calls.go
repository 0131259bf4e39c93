package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	web   = "http://web.shop.svc.cluster.local"
	webH2 = "http://web.shop.svc.cluster.local:81"
)

func callsAcross(s *stage) error {
	if err := s.east.answered(web, "web", "west"); err != nil {
		return err
	}
	end, err := s.startCapture()
	if err != nil {
		return err
	}
	one, err := s.east.begin(web, 200, map[string]string{"posts": "33", "cluster": "west"})
	if err != nil {
		return err
	}
	two, err := s.east.begin(webH2, 100, map[string]string{"proto": "h2", "posts": "33", "cluster": "west"})
	if err != nil {
		return err
	}
	// A load lasts as long as it takes to send what the test asks for.
	flaws := during(1500, func() error { time.Sleep(8 * time.Second); return nil }, one, two)
	seen, err := end()
	if err != nil {
		return err
	}
	fmt.Printf("           between the nodes: %d frames, %d of links, %d with plain HTTP\n", seen.Frames, seen.Link, seen.Plain)
	if seen.Link == 0 || seen.Plain > 0 {
		return fmt.Errorf("%d frames of links, %d with plain HTTP: %q", seen.Link, seen.Plain, seen.Examples)
	}
	return flaws
}

// startCapture watches the wires between the clusters; what it gives ends that.
func (s *stage) startCapture() (func() (captured, error), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	run := exec.Command("nsenter", "--net=/run/netns/"+s.env["hub"], self, "capture")
	var out strings.Builder
	run.Stdout = &out
	said, err := run.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := run.Start(); err != nil {
		return nil, err
	}
	if _, err := said.Read(make([]byte, 64)); err != nil {
		return nil, err
	}
	return func() (captured, error) {
		var seen captured
		if err := run.Process.Signal(os.Interrupt); err != nil {
			return seen, err
		}
		if err := run.Wait(); err != nil {
			return seen, err
		}
		return seen, json.Unmarshal([]byte(out.String()), &seen)
	}, nil
}

func streamsLive(s *stage) error {
	streams := map[string]map[string]string{
		"grpc": {"name": "grpc", "url": webH2 + "/stream", "kind": "grpc"},
		"ws":   {"name": "ws", "url": web + ":80/ws", "kind": "websocket"},
	}
	for _, query := range streams {
		if _, err := s.east.client("/stream/start", query); err != nil {
			return err
		}
	}
	for number := range 20 {
		if err := s.east.apply(routeTo("swap", "mirrored", fmt.Sprintf("/swap-%d", number), "web")); err != nil {
			return err
		}
	}
	if err := s.east.remove(shop, "httproute/swap"); err != nil {
		return err
	}
	var problems []string
	for name := range streams {
		text, err := s.east.client("/stream/stop", map[string]string{"name": name})
		if err != nil {
			return err
		}
		var talk struct {
			Sent, Heard int
			Error, End  string
		}
		if err := json.Unmarshal([]byte(text), &talk); err != nil {
			return err
		}
		fmt.Printf("           %s: %d said, %d heard, end: %s\n", name, talk.Sent, talk.Heard, talk.End)
		ended := name == "ws" || talk.End == "grpc-status 0"
		if talk.Error != "" || talk.Heard < 10 || talk.Heard != talk.Sent || !ended {
			problems = append(problems, name+": "+text)
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s", strings.Join(problems, "\n"))
	}
	return nil
}

func otherProtocols(s *stage) error {
	const talk = "talk.shop.svc.cluster.local"
	conversations := []struct{ mode, address string }{
		{"first", talk + ":9000"}, {"half-close", talk + ":9000"}, {"late-http", talk + ":8080"}, {"tls", talk + ":8443"},
	}
	expected := map[string][]string{
		"first":      {"hello west web-", "echo one"},
		"half-close": {"hello west web-", "echo one", "echo two", "bye 2"},
		"late-http":  {"200 OK", `"path":"/talk"`, `"cluster":"west"`},
		"tls":        {"workload\n", "200 OK", `"cluster":"west"`},
	}
	var problems []string
	for _, one := range conversations {
		err := eventually(one.mode, func() error {
			heard, err := s.east.client("/tcp", map[string]string{"address": one.address, "mode": one.mode})
			if err != nil {
				return err
			}
			for _, text := range expected[one.mode] {
				if !strings.Contains(heard, text) {
					return fmt.Errorf("no %q in %q", text, heard)
				}
			}
			return nil
		})
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s", strings.Join(problems, "\n"))
	}
	return nil
}

func exportGoesAndComes(s *stage) error {
	objects := func() string {
		out, err := s.east.kubectl("-n", shop, "get", "serviceimport/web", "service/web", "--ignore-not-found", "-o", "name")
		if err != nil {
			return err.Error()
		}
		slices, err := s.east.kubectl("-n", shop, "get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "name")
		if err != nil {
			return err.Error()
		}
		if slices != "" {
			out += "slices"
		}
		return strings.Join(strings.Fields(out), " ")
	}
	const all = "serviceimport.multicluster.x-k8s.io/web service/web slices"
	if err := is("import, Service and slices stand", all, objects); err != nil {
		return err
	}
	east, err := s.newPeer()
	if err != nil {
		return err
	}
	for range 2 {
		if err := east.carried(true); err != nil {
			return err
		}
		if err := s.west.remove(shop, "serviceexport/web"); err != nil {
			return err
		}
		if err := is("import, Service and slices are gone", "", objects); err != nil {
			return err
		}
		if err := east.carried(false); err != nil {
			return err
		}
		if err := s.west.apply(exportOf("web")); err != nil {
			return err
		}
		if err := is("import, Service and slices are back", all, objects); err != nil {
			return err
		}
		if err := s.east.answered(web, "web", "west"); err != nil {
			return err
		}
	}
	// What was never exported is refused no less.
	heard, err := east.asks("ledger", 80)
	if err == nil && (heard.accepted || heard.code != codeNotExported) {
		err = fmt.Errorf("the ledger, which is not exported: %+v", heard)
	}
	return err
}

// A caller over a link lands on either gateway by chance: so many in a row have met both.
const inARow = 20

// carried shows that the gateways of west let a gateway of east through to web, or none of them does.
func (p peer) carried(exported bool) error {
	met := 0
	return eventually(fmt.Sprintf("a call of a gateway of east is carried: %t, %d times in a row", exported, inARow), func() error {
		for met < inARow {
			heard, err := p.asks("web", 80)
			let := heard.accepted && heard.answer.App == "web" && heard.answer.Cluster == "west"
			refused := !heard.accepted && heard.code == codeNotExported
			if err != nil || exported && !let || !exported && !refused {
				met = 0
				return fmt.Errorf("%+v, %v", heard, err)
			}
			met++
		}
		return nil
	})
}

func exportOf(name string) string {
	return fmt.Sprintf("apiVersion: multicluster.x-k8s.io/v1beta1\nkind: ServiceExport\nmetadata: {name: %s, namespace: shop}\n", name)
}

func usersService(s *stage) error {
	one, err := s.east.begin(web, 100, nil)
	if err != nil {
		return err
	}
	err = during(300, func() error {
		if err := s.east.apply(usersWeb); err != nil {
			return err
		}
		if err := s.east.answered(web, "near", "east"); err != nil {
			return err
		}
		if err := s.west.remove(shop, "serviceexport/web"); err != nil {
			return err
		}
		if err := is("the import is gone", "", func() string { return s.east.get(shop, "serviceimport/web", "{.metadata.name}") }); err != nil {
			return err
		}
		if got := s.east.get(shop, "service/web", "{.spec.selector.app}"); got != "near" {
			return fmt.Errorf("the user's Service has the selector %q", got)
		}
		return s.east.answered(web, "near", "east")
	}, one)
	// What follows finds the mirrored Service again.
	if undone := s.west.apply(exportOf("web")); undone != nil {
		return undone
	}
	if undone := s.east.remove(shop, "service/web"); undone != nil {
		return undone
	}
	if undone := s.east.answered(web, "web", "west"); undone != nil && err == nil {
		return undone
	}
	return err
}

const usersWeb = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: near}
  ports:
  - {name: http, port: 80, targetPort: 8080, protocol: TCP, appProtocol: http}
`
