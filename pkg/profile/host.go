package profile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"sort"
	"strings"

	"github.com/coreos/ignition/v2/config/v3_3/types"
	"golang.org/x/crypto/ssh"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/model"
)

const header = "# Written by nuboctl from the inventory; changes here do not last.\n"

// hostConfig is what nuboctl itself lays down on a node.
func hostConfig(in Input) (types.Config, diag.List) {
	var diags diag.List
	var c config
	c.file("/etc/hostname", 0o644, in.Node.Name+"\n")
	c.file("/etc/hosts", 0o644, hosts(in))
	c.file("/etc/resolv.conf", 0o644, resolver(in))
	c.file("/etc/apt/apt.conf.d/90-nubo", 0o644, aptConf)
	c.file("/etc/nubo/node.json", 0o644, identity(in.Node))
	if sources := timeSources(in); sources != "" {
		c.file("/etc/chrony/sources.d/nubo.sources", 0o644, sources)
		c.file("/etc/chrony/chrony.conf", 0o644, header+chronyConf)
	}
	diags = append(diags, access(in, &c)...)
	p := profileOf(in.Desired, in.Node.Profile)
	if p == nil {
		diags.Errorf(diag.Range{}, "add the profile to the inventory", "node %s: there is no profile %q", in.Node.Path, in.Node.Profile)
		return types.Config{}, diags
	}
	networking(in, *p, &c)
	storage(in, &c)
	migration(in, &c)
	diags = append(diags, firewall(in, *p, &c)...)
	c.enable("ssh.service", "chrony.service", "systemd-networkd.service")
	return c.sorted(), diags
}

// config collects files and units.
type config struct {
	files []types.File
	links []types.Link
	units []types.Unit
}

func (c *config) file(path string, mode int, text string) {
	yes, source := true, "data:;base64,"+base64.StdEncoding.EncodeToString([]byte(text))
	c.files = append(c.files, types.File{
		Node:          types.Node{Path: path, Overwrite: &yes},
		FileEmbedded1: types.FileEmbedded1{Mode: &mode, Contents: types.Resource{Source: &source}},
	})
}

func (c *config) link(path, target string) {
	yes := true
	c.links = append(c.links, types.Link{Node: types.Node{Path: path, Overwrite: &yes}, LinkEmbedded1: types.LinkEmbedded1{Target: &target}})
}

func (c *config) enable(names ...string) {
	for _, n := range names {
		yes := true
		c.units = append(c.units, types.Unit{Name: n, Enabled: &yes})
	}
}

func (c *config) unit(name, text string) {
	yes := true
	c.units = append(c.units, types.Unit{Name: name, Enabled: &yes, Contents: &text})
}

func (c *config) sorted() types.Config {
	sort.Slice(c.files, func(i, j int) bool { return c.files[i].Path < c.files[j].Path })
	sort.Slice(c.units, func(i, j int) bool { return c.units[i].Name < c.units[j].Name })
	return types.Config{Storage: types.Storage{Files: c.files, Links: c.links}, Systemd: types.Systemd{Units: c.units}}
}

func profileOf(d *model.Desired, name string) *model.Profile {
	for i := range d.Profiles {
		if d.Profiles[i].Name == name {
			return &d.Profiles[i]
		}
	}
	return nil
}

func network(d *model.Desired, name string) *model.Network {
	for i := range d.Networks {
		if d.Networks[i].Name == name {
			return &d.Networks[i]
		}
	}
	return nil
}

// hosts names the host itself and nobody else: other nodes come and go, and this file must not change with them.
func hosts(in Input) string {
	var b strings.Builder
	b.WriteString(header + "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	address := "127.0.1.1"
	if len(in.Node.NICs) > 0 && in.Node.NICs[0].Address.IsValid() {
		address = in.Node.NICs[0].Address.Addr().String()
	}
	fmt.Fprintf(&b, "%s\t%s %s\n", address, fqdn(in), in.Node.Name)
	return b.String()
}

// nameServers are those of the first card's network, else those of the cloud.
func nameServers(in Input) []string {
	if net := bootNetwork(in); net != nil && len(net.DNS) > 0 {
		return texts(net.DNS)
	}
	return in.Desired.Cloud.DNS
}

func texts(addrs []netip.Addr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}

func bootNetwork(in Input) *model.Network {
	if len(in.Node.NICs) == 0 {
		return nil
	}
	return network(in.Desired, in.Node.NICs[0].Network)
}

func resolver(in Input) string {
	var b strings.Builder
	b.WriteString(header)
	if in.Desired.Cloud.Domain != "" {
		fmt.Fprintf(&b, "search %s\n", in.Desired.Cloud.Domain)
	}
	for _, s := range nameServers(in) {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	return b.String()
}

// timeSources are chrony's, of the network and of the cloud.
func timeSources(in Input) string {
	var all []string
	if net := bootNetwork(in); net != nil {
		all = append(all, net.NTP...)
	}
	all = append(all, in.Desired.Cloud.NTP...)
	var b strings.Builder
	seen := map[string]bool{}
	for _, s := range all {
		if !seen[s] {
			fmt.Fprintf(&b, "server %s iburst\n", s)
		}
		seen[s] = true
	}
	if b.Len() == 0 {
		return ""
	}
	return header + b.String()
}

// chronyConf is Debian's without its pool on the Internet: a cloud with time servers of its own has one time, not two (chrony.conf(5)).
const chronyConf = `sourcedir /etc/chrony/sources.d
keyfile /etc/chrony/chrony.keys
driftfile /var/lib/chrony/chrony.drift
ntsdumpdir /var/lib/chrony
logdir /var/log/chrony
maxupdateskew 100.0
rtcsync
makestep 1 3
leapsectz right/UTC
`

// aptConf keeps packages as the image has them: upgrades are new images.
const aptConf = `// Written by nuboctl from the inventory; changes here do not last.
APT::Periodic::Enable "0";
APT::Periodic::Unattended-Upgrade "0";
`

// identity tells programs on the host which node it is.
func identity(n model.Node) string {
	b, err := json.MarshalIndent(struct {
		FormatVersion int          `json:"format_version"`
		Path          model.Path   `json:"path"`
		Name          string       `json:"name"`
		Profile       string       `json:"profile"`
		Roles         []model.Role `json:"roles"`
	}{1, n.Path, n.Name, n.Profile, n.Roles}, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("encode identity: %v", err)) // strings only
	}
	return string(b) + "\n"
}

// access lets the operator's authority in, and passwords out. Host keys are the installer's matter: they outlive slots.
func access(in Input, c *config) diag.List {
	var diags diag.List
	var keys strings.Builder
	for _, k := range in.UserCAs {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(k))
		if err != nil {
			diags.Errorf(diag.Range{}, "give the public half of the SSH authority", "ssh authority %.20q…: %v", k, err)
			continue
		}
		keys.Write(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key)))
		keys.WriteString("\n")
	}
	c.file("/etc/ssh/nubo_user_ca.pub", 0o644, keys.String())
	c.file("/etc/ssh/nubo_principals/root", 0o644, OperatorPrincipal+"\n")
	c.file("/etc/ssh/sshd_config.d/20-nubo-access.conf", 0o644, header+sshdAccess)
	return diags
}

// sshdAccess: sshd takes the first value of each option, so this wins over Debian's own file. Stream-local forwarding stays on: libvirt's
// socket is reached that way.
const sshdAccess = `TrustedUserCAKeys /etc/ssh/nubo_user_ca.pub
AuthorizedPrincipalsFile /etc/ssh/nubo_principals/%u
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
X11Forwarding no
AllowAgentForwarding no
MaxAuthTries 3
LoginGraceTime 120
ClientAliveInterval 15
ClientAliveCountMax 4
Match User root
	AuthorizedKeysFile none
`
