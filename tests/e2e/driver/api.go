package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// api speaks to an API server itself: kubectl takes longer to start than a change takes to arrive.
type api struct {
	base string
	web  *http.Client
}

// kubeconfig is what of it is needed, as `kubectl config view` says it.
type kubeconfig struct {
	Clusters []struct {
		Cluster struct {
			Server string
			CA     []byte `json:"certificate-authority-data"`
		}
	}
	Users []struct {
		User struct {
			Certificate []byte `json:"client-certificate-data"`
			Key         []byte `json:"client-key-data"`
		}
	}
}

func (c *cluster) api() (*api, error) {
	text, err := c.kubectl("config", "view", "--raw", "-o", "json")
	if err != nil {
		return nil, err
	}
	var config kubeconfig
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return nil, err
	}
	user := config.Users[0].User
	pair, err := tls.X509KeyPair(user.Certificate, user.Key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(config.Clusters[0].Cluster.CA)
	settings := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: settings, MaxIdleConnsPerHost: 4}}
	return &api{config.Clusters[0].Cluster.Server, web}, nil
}

// place is where an object is found: the path of its collection, and its name.
type place struct{ collection, name string }

func placed(group, kind, name string) place {
	return place{"/apis/" + group + "/namespaces/" + shop + "/" + kind, name}
}

type object struct {
	Metadata struct{ ResourceVersion string }
}

// patch merges a change into an object: the version that it got, and when the server answered.
func (a *api) patch(at place, change string) (string, time.Time, error) {
	request, err := http.NewRequest(http.MethodPatch, a.base+at.collection+"/"+at.name, bytes.NewBufferString(change))
	if err != nil {
		return "", time.Time{}, err
	}
	request.Header.Set("Content-Type", "application/merge-patch+json")
	answer, err := a.web.Do(request)
	if err != nil {
		return "", time.Time{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	answered := time.Now()
	if err != nil || answer.StatusCode != http.StatusOK {
		return "", answered, fmt.Errorf("patch of %s: %s %v: %s", at.name, answer.Status, err, body)
	}
	var patched object
	err = json.Unmarshal(body, &patched)
	return patched.Metadata.ResourceVersion, answered, err
}

// event is one version of an object, and when it came.
type event struct {
	version string
	at      time.Time
}

// watch is a bare watch of one object. It ends when `stop` is called.
func (a *api) watch(at place) (events chan event, stop func(), err error) {
	// From what the server has cached: the newest version may not have reached its cache yet.
	query := url.Values{"watch": {"1"}, "fieldSelector": {"metadata.name=" + at.name}, "resourceVersion": {"0"}}
	answer, err := a.web.Get(a.base + at.collection + "?" + query.Encode())
	if err != nil {
		return nil, nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("watch of %s: %s", at.name, answer.Status)
	}
	// Status writes come too, and nobody takes those.
	events = make(chan event, 4096)
	go func() {
		defer close(events)
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			came := time.Now()
			var seen struct{ Object object }
			if json.Unmarshal(lines.Bytes(), &seen) == nil {
				events <- event{seen.Object.Metadata.ResourceVersion, came}
			}
		}
	}()
	return events, func() { answer.Body.Close() }, nil
}
