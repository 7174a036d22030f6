package metal3

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"sigs.k8s.io/yaml"
)

// YAML gives one document for each host, for kubectl apply, under a comment that lists the Secrets to make.
func (x Export) YAML() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Every host is paused. To hand one over to Metal3, take away its annotation %s.\n", v1alpha1.PausedAnnotation)
	fmt.Fprintf(&b, "# The hosts need these Secrets; make each from files that hold nothing else:\n")
	for _, name := range x.Secrets {
		fmt.Fprintf(&b, "#   kubectl -n %s create secret generic %s --from-file=username=FILE --from-file=password=FILE\n", x.Namespace, name)
	}
	for _, h := range x.Hosts {
		o, err := object(h)
		if err != nil {
			return nil, err
		}
		text, err := yaml.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", h.Name, err)
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	return b.Bytes(), nil
}

// List gives all hosts as one object of kind List, which kubectl reads as JSON.
func (x Export) List() (any, error) {
	items := make([]any, len(x.Hosts))
	for i, h := range x.Hosts {
		o, err := object(h)
		if err != nil {
			return nil, err
		}
		items[i] = o
	}
	return map[string]any{"apiVersion": "v1", "kind": "List", "items": items}, nil
}

// object is a host as it is given to a cluster: without the status, which is the cluster's to write.
func object(h v1alpha1.BareMetalHost) (map[string]any, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", h.Name, err)
	}
	var o map[string]any
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, fmt.Errorf("host %s: %w", h.Name, err)
	}
	delete(o, "status")
	if meta, ok := o["metadata"].(map[string]any); ok {
		delete(meta, "creationTimestamp")
	}
	return o, nil
}
