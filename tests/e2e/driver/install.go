package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const namespaces = `
apiVersion: v1
kind: Namespace
metadata: {name: spanway-system, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {pod-security.kubernetes.io/enforce: restricted}}
`

// install puts the chart into both clusters, as a user would, and links them.
func install(s *stage) error {
	for _, c := range s.clusters() {
		if err := c.apply(namespaces); err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(s.repository, "tests/e2e/manifests", c.name+".yaml"))
		if err != nil {
			return err
		}
		if err := c.apply(string(text)); err != nil {
			return err
		}
		if err := c.helm("upgrade", "--install", "spanway"); err != nil {
			return err
		}
	}
	for _, c := range s.clusters() {
		if err := c.rolled(system, "spanway-controller", "spanway-gateway"); err != nil {
			return err
		}
	}
	for _, c := range s.clusters() {
		if err := c.link(); err != nil {
			return err
		}
	}
	for _, c := range s.clusters() {
		for _, kind := range []string{"Reachable", "Trusted", "Synced"} {
			err := eventually(fmt.Sprintf("the link of %s is %s", c.name, kind), func() error {
				now := c.condition("", "clusterlink/"+c.other().name, ".status.conditions", kind)
				if !strings.HasPrefix(now, "True/") {
					return fmt.Errorf("%s", now)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	_, err := s.east.kubectl("-n", shop, "wait", "--for=condition=Ready", "--timeout=90s", "pod/client")
	return err
}

// reinstall changes values of the chart, `name=value`; all others are as they were at first. What
// changes rolls out.
func (c *cluster) reinstall(values ...string) error {
	arguments := []string{"upgrade", "spanway"}
	for _, value := range values {
		arguments = append(arguments, "--set", value)
	}
	if err := c.helm(arguments...); err != nil {
		return err
	}
	return c.rolled(system, "spanway-controller", "spanway-gateway")
}

func (c *cluster) helm(arguments ...string) error {
	all := append(arguments, filepath.Join(c.stage.repository, "charts/spanway"),
		"--kubeconfig", filepath.Join(c.stage.dir, c.name+".kubeconfig"), "--namespace", system,
		"--set", "cluster="+c.name+",trustDomain="+c.name+".test",
		"--set", "image.repository=spanway.test/spanway,image.tag=e2e,image.pullPolicy=Never")
	_, err := command("", filepath.Join(c.stage.dir, "bin", "helm"), all...)
	return err
}

func (c *cluster) bundle() string {
	return c.get(system, "configmap/spanway-bundle", `{.data.bundle\.pem}`)
}

func (c *cluster) linkAddress() string {
	return c.get(system, "service/spanway-link", "{.status.loadBalancer.ingress[0].ip}")
}

// link makes the link of this cluster to the other one: its address, its bundle, and every export of
// it as a Service of the same name.
func (c *cluster) link() error {
	far := c.other()
	err := eventually("the links of "+far.name+" have an address and a bundle", func() error {
		if far.linkAddress() == "" || far.bundle() == "" {
			return fmt.Errorf("address %q, bundle of %d bytes", far.linkAddress(), len(far.bundle()))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.linkWith(far.bundle(), far.linkAddress()+":15443", "")
}

// linkWith makes that link with any bundle, address and further lines of the spec.
func (c *cluster) linkWith(bundle, address, more string) error {
	far := c.other()
	return c.apply(fmt.Sprintf(`
apiVersion: spanway.dev/v1alpha1
kind: ClusterLink
metadata: {name: %[1]s}
spec:
  addresses: [%[2]q]
  trustDomain: %[1]s.test
  bundle: |
    %[3]s
  import: {rules: [{name: "{service}"}]}
%[4]s`, far.name, address, strings.ReplaceAll(strings.TrimSpace(bundle), "\n", "\n    "), more))
}
