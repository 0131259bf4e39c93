package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const (
	// resync bounds how long a watch is trusted before the Services are listed again.
	resync = 10 * time.Minute
	// retry is the pause after the API server was away.
	retry = time.Second
)

// newLoadBalancerCommand returns what a cloud does for Services of type LoadBalancer: it gives
// each one an address of its own from a range that the network routes to this cluster.
func newLoadBalancerCommand() *cobra.Command {
	var kubeconfig, addresses string
	command := &cobra.Command{
		Use:  "loadbalancer",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			prefix, err := netip.ParsePrefix(addresses)
			if err != nil {
				return err
			}
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			balancer := &balancer{client: client, addresses: prefix.Masked(), last: prefix.Masked().Addr()}
			return balancer.run(context.Background())
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&addresses, "addresses", "", "the range to give addresses from, as a prefix")
	return command
}

type balancer struct {
	client    kubernetes.Interface
	addresses netip.Prefix
	// last is the address given most recently: the next one follows it, so that an address
	// rests as long as possible before another Service gets it.
	last netip.Addr
	// given says which Service has an address.
	given map[netip.Addr]types.UID
}

// run lists and watches for ever; the API server may be away for any time.
func (b *balancer) run(ctx context.Context) error {
	for {
		if err := b.follow(ctx); err != nil {
			klog.Warningf("list or watch ended: %v", err)
		}
		time.Sleep(retry)
	}
}

func (b *balancer) follow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, resync)
	defer cancel()
	list, err := b.client.CoreV1().Services(meta.NamespaceAll).List(ctx, meta.ListOptions{})
	if err != nil {
		return err
	}
	b.given = map[netip.Addr]types.UID{}
	for i := range list.Items {
		b.note(&list.Items[i])
	}
	for i := range list.Items {
		if err := b.serve(ctx, &list.Items[i]); err != nil {
			return err
		}
	}
	watch, err := b.client.CoreV1().Services(meta.NamespaceAll).Watch(ctx, meta.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		return err
	}
	defer watch.Stop()
	for event := range watch.ResultChan() {
		service, ok := event.Object.(*core.Service)
		if !ok {
			return fmt.Errorf("unexpected event %s: %v", event.Type, event.Object)
		}
		if event.Type == "DELETED" {
			b.release(service.UID)
		} else if err := b.serve(ctx, service); err != nil {
			return err
		}
	}
	return nil
}

// note records the addresses that a Service has already.
func (b *balancer) note(service *core.Service) {
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if address, err := netip.ParseAddr(ingress.IP); err == nil && b.addresses.Contains(address) {
			b.given[address] = service.UID
		}
	}
}

func (b *balancer) release(service types.UID) {
	for address, owner := range b.given {
		if owner == service {
			delete(b.given, address)
		}
	}
}

// serve brings the status of one Service in line with its type.
func (b *balancer) serve(ctx context.Context, service *core.Service) error {
	wanted := service.Spec.Type == core.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil
	has := len(service.Status.LoadBalancer.Ingress) > 0
	switch {
	case wanted && has:
		b.note(service)
		return nil
	case wanted:
		address, err := b.next(service)
		if err != nil {
			klog.Errorf("%s/%s gets no address: %v", service.Namespace, service.Name, err)
			return nil
		}
		b.given[address] = service.UID
		return b.patch(ctx, service, []core.LoadBalancerIngress{{IP: address.String()}})
	case has && service.Spec.Type != core.ServiceTypeLoadBalancer:
		b.release(service.UID)
		return b.patch(ctx, service, nil)
	}
	return nil
}

// next finds a free address: the one the Service had or asks for, else the one after the last given.
func (b *balancer) next(service *core.Service) (netip.Addr, error) {
	for address, owner := range b.given {
		if owner == service.UID {
			return address, nil
		}
	}
	if asked, err := netip.ParseAddr(service.Spec.LoadBalancerIP); err == nil && b.free(asked) {
		return asked, nil
	}
	for address := b.last.Next(); address != b.last; address = address.Next() {
		if !b.addresses.Contains(address) {
			address = b.addresses.Addr()
		} else if b.free(address) {
			b.last = address
			return address, nil
		}
		if address == b.last {
			break
		}
	}
	return netip.Addr{}, fmt.Errorf("all addresses of %s are in use", b.addresses)
}

func (b *balancer) free(address netip.Addr) bool {
	_, taken := b.given[address]
	last := address.As4()[3]
	return !taken && b.addresses.Contains(address) && last != 0 && last != 255
}

func (b *balancer) patch(ctx context.Context, service *core.Service, ingress []core.LoadBalancerIngress) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": ingress}}})
	if err != nil {
		return err
	}
	_, err = b.client.CoreV1().Services(service.Namespace).Patch(ctx, service.Name, types.MergePatchType, patch, meta.PatchOptions{}, "status")
	if err != nil {
		// The Service may have gone meanwhile; anything else is repaired by the next list.
		klog.Warningf("%s/%s: %v", service.Namespace, service.Name, err)
		return nil
	}
	klog.Infof("%s/%s has %v", service.Namespace, service.Name, ingress)
	return nil
}
