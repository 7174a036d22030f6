package profile

import (
	"path"
	"strings"

	"github.com/coreos/ignition/v2/config/v3_3/types"

	"github.com/nuboctl/nuboctl/pkg/diag"
)

// kept are places that a config must not touch, with the reason.
var kept = []struct{ prefix, why string }{
	{"/etc/nubo/", "it belongs to nuboctl"}, {"/usr/lib/nubo/", "it belongs to nuboctl"},
	{"/etc/fstab", "the installer writes it"}, {"/etc/machine-id", "the installer keeps it"}, {"/etc/ssh/sshd_config.d/10-nubo.conf", "the installer writes it"},
	{"/etc/systemd/system.conf.d/10-nubo-watchdog.conf", "the installer writes it"},
	{"/boot/", "the installer keeps it"},
	{"/run/", "it does not survive a boot"}, {"/tmp/", "it does not survive a boot"}, {"/proc/", "it is not a file system"}, {"/sys/", "it is not a file system"}, {"/dev/", "it is not a file system"},
	{"/var/lib/ceph/", shared}, {"/var/lib/libvirt/", shared}, {"/var/lib/openvswitch/", shared}, {"/var/log/", shared}, {"/etc/ceph/", shared},
	{"/etc/libvirt/", shared}, {"/etc/openvswitch/", shared}, {"/var/lib/nubo/", "it belongs to nuboctl"}, {"/state/", shared},
}

const shared = "it is kept on the state partition, shared by both slots, and would hide what a slot holds there"

// lazy is a place that is looked up only when something is wrong there.
type lazy struct {
	author *translated
	path   []any
}

func (l lazy) at() diag.Range { return l.author.at(l.path...) }

// conflicts reports author's entries that would overwrite nuboctl's own or lie where nothing may lie.
func conflicts(author *translated, own types.Config) diag.List {
	var diags diag.List
	ours := map[string]bool{}
	for _, f := range own.Storage.Files {
		ours[f.Path] = true
	}
	for _, l := range own.Storage.Links {
		ours[l.Path] = true
	}
	check := func(p string, where ...any) {
		at := lazy{author, append([]any{"storage"}, where...)}
		clean := path.Clean(p)
		if ours[clean] {
			diags.Errorf(at.at(), "leave it out; what nuboctl writes follows the inventory", "nuboctl writes %s itself", clean)
		}
		for _, k := range kept {
			if strings.HasPrefix(clean+"/", k.prefix) && (strings.HasSuffix(k.prefix, "/") || clean == k.prefix) {
				diags.Errorf(at.at(), "use another place", "%s cannot be written: %s", clean, k.why)
			}
		}
		for _, f := range own.Storage.Files {
			o := f.Path
			if strings.HasPrefix(o, clean+"/") && !isDirectory(author.config, p) {
				diags.Errorf(at.at(), "use another place", "%s must be a directory: nuboctl writes %s", clean, o)
				break
			}
		}
	}
	s := author.config.Storage
	for i, f := range s.Files {
		check(f.Path, "files", i, "path")
	}
	for i, d := range s.Directories {
		check(d.Path, "directories", i, "path")
	}
	for i, l := range s.Links {
		check(l.Path, "links", i, "path")
	}
	diags = append(diags, unitConflicts(author, own)...)
	return diags
}

// needed are units without which nuboctl could not reach the host.
var needed = map[string]bool{"ssh.service": true, "systemd-networkd.service": true, "openvswitch-switch.service": true}

// unitConflicts lets the author add to units of Debian, and keeps nuboctl's own and the needed ones as they are.
func unitConflicts(author *translated, own types.Config) diag.List {
	var diags diag.List
	written := map[string]bool{}
	for _, u := range own.Systemd.Units {
		written[u.Name] = u.Contents != nil
	}
	for i, u := range author.config.Systemd.Units {
		at := lazy{author, []any{"systemd", "units", i, "name"}}
		switch off := u.Mask != nil && *u.Mask || u.Enabled != nil && !*u.Enabled; {
		case written[u.Name], strings.HasPrefix(u.Name, "nubo-"):
			diags.Errorf(at.at(), "use another name, or leave it out", "unit %s belongs to nuboctl", u.Name)
		case off && needed[u.Name]:
			diags.Errorf(at.at(), "leave it enabled", "without %s nuboctl could not reach the host", u.Name)
		}
	}
	return diags
}

func isDirectory(c types.Config, p string) bool {
	for _, d := range c.Storage.Directories {
		if d.Path == p {
			return true
		}
	}
	return false
}

// merge puts nuboctl's own after the author's, so that the author's keep their places and their provenance. Of a unit that both name, the
// author's stays, and is enabled unless the author says otherwise.
func merge(author, own types.Config) types.Config {
	out := author
	out.Storage.Files = append(author.Storage.Files[:len(author.Storage.Files):len(author.Storage.Files)], own.Storage.Files...)
	out.Storage.Links = append(author.Storage.Links[:len(author.Storage.Links):len(author.Storage.Links)], own.Storage.Links...)
	out.Systemd.Units = append([]types.Unit(nil), author.Systemd.Units...)
	at := map[string]int{}
	for i, u := range out.Systemd.Units {
		at[u.Name] = i
	}
	for _, u := range own.Systemd.Units {
		if i, both := at[u.Name]; !both {
			out.Systemd.Units = append(out.Systemd.Units, u)
		} else if out.Systemd.Units[i].Enabled == nil && out.Systemd.Units[i].Mask == nil {
			out.Systemd.Units[i].Enabled = u.Enabled
		}
	}
	return out
}
