package adopt

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/remote"
)

//go:embed gather.sh
var gatherScript string

// Gather asks a host what it is. It changes nothing.
func Gather(ctx context.Context, h remote.Host) (Host, error) {
	res, err := h.Run(ctx, remote.Command{Script: gatherScript, Limit: time.Minute})
	if err != nil {
		return Host{}, fmt.Errorf("look at the host: %w", err)
	}
	out, err := ParseHost(res.Stdout)
	if err != nil {
		return Host{}, fmt.Errorf("look at the host: %w", err)
	}
	return out, nil
}

// noSerial are what firmware tells where nobody set a serial number.
var noSerial = []string{"", "none", "not specified", "default string", "to be filled by o.e.m.", "system serial number", "0", "0123456789", "123456789", "unknown", "n/a"}

// ParseHost reads what gather.sh printed.
func ParseHost(raw []byte) (Host, error) {
	parts := map[string]string{}
	for _, part := range strings.Split("\n"+string(raw), "\n==")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		parts[title] = strings.TrimSpace(body)
	}
	name, _, _ := strings.Cut(parts["name"], ".")
	h := Host{Name: name, Domain: parts["domain"], Product: strings.Join(strings.Fields(parts["product"]), " ")}
	if s := parts["serial"]; !slices.Contains(noSerial, strings.ToLower(s)) {
		h.Serial = s
	}
	var errs []error
	number := func(what string) int {
		n, err := strconv.Atoi(parts[what])
		if err != nil || n < 0 {
			errs = append(errs, fmt.Errorf("%s: %q is no number", what, parts[what]))
		}
		return n
	}
	h.Cores = number("cores")
	h.Memory = (number("memory") + 1<<19) >> 20 // KiB; the kernel keeps a part for itself
	var err error
	if h.Links, err = links([]byte(parts["links"])); err != nil {
		errs = append(errs, err)
	}
	h.Gateway = gateway([]byte(cmp.Or(parts["route"], "[]")))
	for _, word := range strings.Fields(parts["resolvers"]) {
		if a, err := netip.ParseAddr(word); err == nil && a.Zone() == "" {
			h.DNS = append(h.DNS, a)
		}
	}
	h.Roots = strings.Fields(parts["roots"])
	if a, err := netip.ParseAddr(parts["bmc"]); err == nil && !a.IsUnspecified() {
		h.BMC = "ipmi://" + a.String()
	}
	for _, dir := range strings.Fields(parts["cephadm"]) {
		if uuid.MatchString(path.Base(dir)) {
			h.Cephadm = append(h.Cephadm, path.Base(dir))
		}
	}
	if h.Name == "" {
		errs = append(errs, errors.New("it did not tell its name"))
	}
	return h, errors.Join(errs...)
}

// ipLink is a device as `ip -json -details address` prints it.
type ipLink struct {
	Name      string `json:"ifname"`
	Type      string `json:"link_type"`
	MAC       string `json:"address"`
	Permanent string `json:"permaddr"`
	MTU       int    `json:"mtu"`
	Master    string `json:"master"`
	Below     string `json:"link"`
	Info      struct {
		Kind string `json:"info_kind"`
		Data struct {
			ID int `json:"id"`
		} `json:"info_data"`
	} `json:"linkinfo"`
	Addresses []struct {
		Family string `json:"family"`
		Local  string `json:"local"`
		Bits   int    `json:"prefixlen"`
		Scope  string `json:"scope"`
	} `json:"addr_info"`
}

// links are the devices that carry Ethernet.
func links(raw []byte) ([]Link, error) {
	var list []ipLink
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("output of ip address: %w", err)
	}
	var out []Link
	for _, l := range list {
		if l.Type != "ether" {
			continue
		}
		link := Link{Name: l.Name, MAC: strings.ToLower(cmp.Or(l.Permanent, l.MAC)), Kind: l.Info.Kind, Master: l.Master, MTU: l.MTU}
		if l.Info.Kind == "vlan" {
			link.Below, link.VLAN = l.Below, l.Info.Data.ID
		}
		for _, a := range l.Addresses {
			if addr, err := netip.ParseAddr(a.Local); err == nil && a.Family == "inet" && a.Scope == "global" {
				link.Addresses = append(link.Addresses, netip.PrefixFrom(addr, a.Bits))
			}
		}
		out = append(out, link)
	}
	return out, nil
}

// gateway is the router of the first default route; the zero value when there is none.
func gateway(raw []byte) netip.Addr {
	var routes []struct {
		Gateway string `json:"gateway"`
	}
	if json.Unmarshal(raw, &routes) == nil && len(routes) > 0 {
		if a, err := netip.ParseAddr(routes[0].Gateway); err == nil {
			return a
		}
	}
	return netip.Addr{}
}
