// Package metal3 says in the words of Metal3 what the inventory says: nodes as BareMetalHost objects, root device hints in both directions.
// It talks to no cluster.
package metal3

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"github.com/metal3-io/baremetal-operator/pkg/hardwareutils/bmc"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// PathAnnotation holds a node's path in the inventory.
const PathAnnotation = "nuboctl/path"

// Export is what a set of nodes comes to in Metal3's words.
type Export struct {
	Namespace string
	Hosts     []v1alpha1.BareMetalHost
	// Secrets names the Secrets that the hosts refer to, each with username and password; their content is nobody's business here.
	Secrets []string
	// Warnings tell where Metal3 would act otherwise than nuboctl, each once, with how many nodes it is about.
	Warnings []string
}

// Hosts converts nodes. Every host is paused, so that Metal3 touches no machine before somebody takes the pause away, and automated cleaning
// is disabled, since it would wipe disks.
func Hosts(d model.Desired, nodes []model.Node, namespace string) (Export, error) {
	x := Export{Namespace: namespace}
	var errs []error
	if bad := validation.IsDNS1123Label(namespace); len(bad) > 0 {
		errs = append(errs, fmt.Errorf("namespace %q: %s", namespace, strings.Join(bad, ", ")))
	}
	secrets, about := map[string]model.SecretRef{}, map[string][]string{}
	for _, n := range nodes {
		h, warnings, err := host(d, n, namespace)
		errs = append(errs, err)
		name := h.Spec.BMC.CredentialsName
		if other, ok := secrets[name]; ok && other != n.BMC.Credentials {
			errs = append(errs, fmt.Errorf("%s: credentials %q and %q would both be Secret %s; rename one", n.Path, other, n.BMC.Credentials, name))
		}
		secrets[name] = n.BMC.Credentials
		for _, w := range warnings {
			about[w] = append(about[w], n.Name)
		}
		x.Hosts = append(x.Hosts, h)
	}
	if err := errors.Join(errs...); err != nil {
		return Export{}, err
	}
	for name := range secrets {
		x.Secrets = append(x.Secrets, name)
	}
	for text, names := range about {
		who := names[0]
		if len(names) > 1 {
			who = fmt.Sprintf("%s and %d more", names[0], len(names)-1)
		}
		x.Warnings = append(x.Warnings, who+": "+text)
	}
	slices.Sort(x.Secrets)
	slices.Sort(x.Warnings)
	return x, nil
}

func host(d model.Desired, n model.Node, namespace string) (h v1alpha1.BareMetalHost, warnings []string, err error) {
	hints, hintsErr := ToHints(n.RootDevice)
	_, bmcErr := bmc.NewAccessDetails(n.BMC.Address, false)
	mac := bootMAC(d, n)
	warnings = hints.Warnings
	if mac == "" {
		warnings = append(warnings, "no network card on a network with a dhcp block: Metal3 gets no bootMACAddress")
	}
	if n.BMC.Pin != "" {
		warnings = append(warnings, "its BMC's certificate is pinned: Metal3 knows no pins and will refuse a certificate that its own authorities did not sign")
	}
	h = v1alpha1.BareMetalHost{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "BareMetalHost"},
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Namespace: namespace, Labels: labels(d, n),
			Annotations: map[string]string{v1alpha1.PausedAnnotation: "nuboctl", PathAnnotation: string(n.Path)}},
		Spec: v1alpha1.BareMetalHostSpec{
			Online: true, BootMACAddress: mac, RootDeviceHints: hints.Root, AutomatedCleaningMode: v1alpha1.CleaningModeDisabled,
			BMC:         v1alpha1.BMCDetails{Address: n.BMC.Address, CredentialsName: secretName(n.BMC.Credentials)},
			BootMode:    map[string]v1alpha1.BootMode{"uefi": v1alpha1.UEFI, "bios": v1alpha1.Legacy}[n.BMC.Firmware],
			Description: fmt.Sprintf("%s of cloud %s", n.Path, d.Cloud.Name),
		},
	}
	if hints.Annotation != "" {
		h.Annotations[HintsAnnotation] = hints.Annotation
	}
	return h, warnings, errors.Join(hintsErr, at(n, bmcErr), at(n, names(h)))
}

func at(n model.Node, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	return nil
}

// names checks what Kubernetes allows as names.
func names(h v1alpha1.BareMetalHost) error {
	var errs []error
	if bad := validation.IsDNS1123Subdomain(h.Name); len(bad) > 0 {
		errs = append(errs, fmt.Errorf("name %q: %s", h.Name, strings.Join(bad, ", ")))
	}
	if bad := validation.IsDNS1123Subdomain(h.Spec.BMC.CredentialsName); len(bad) > 0 {
		errs = append(errs, fmt.Errorf("name of Secret %q: %s", h.Spec.BMC.CredentialsName, strings.Join(bad, ", ")))
	}
	for key, value := range h.Labels {
		if bad := validation.IsValidLabelValue(value); len(bad) > 0 {
			errs = append(errs, fmt.Errorf("label %s=%q: %s", key, value, strings.Join(bad, ", ")))
		}
	}
	return errors.Join(errs...)
}

// labels let selectors choose hosts by place and profile.
func labels(d model.Desired, n model.Node) map[string]string {
	return map[string]string{
		"nuboctl/cloud": d.Cloud.Name, "nuboctl/profile": n.Profile, "nuboctl/site": n.Path.Site().Name(), "nuboctl/region": n.Path.Region().Name(),
		"nuboctl/zone": n.Path.Zone().Name(), "nuboctl/rack": n.Path.Rack().Name(),
	}
}

// bootMAC is the address of the card that the machine boots from: the first on a network with boot service.
func bootMAC(d model.Desired, n model.Node) string {
	for _, nic := range n.NICs {
		for _, net := range d.Networks {
			if net.Name == nic.Network && net.DHCP != "" {
				return strings.ToLower(nic.MAC)
			}
		}
	}
	return ""
}

var notInNames = regexp.MustCompile(`[^a-z0-9.-]+`)

// secretName is a secret's name as Kubernetes allows it.
func secretName(ref model.SecretRef) string {
	return strings.Trim(notInNames.ReplaceAllString(strings.ToLower(string(ref)), "-"), "-.")
}
