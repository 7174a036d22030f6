package profile

import (
	"strings"

	base "github.com/coreos/butane/base/v0_4"
	fcos "github.com/coreos/butane/config/fcos/v1_4"
)

// refuse reports everything that the installer does not apply, with the reason. The list is that of pkg/installer/hostfiles.
func (t *translated) refuse(c fcos.Config) {
	const disks = "nuboctl lays the root disk out itself; root_device and slot_gib in the profile choose it, osd_device gives the others to Ceph"
	for _, r := range []struct {
		set    bool
		path   []any
		remedy string
	}{
		{len(c.Storage.Disks) > 0, []any{"storage", "disks"}, disks},
		{len(c.Storage.Raid) > 0, []any{"storage", "raid"}, disks},
		{len(c.Storage.Filesystems) > 0, []any{"storage", "filesystems"}, disks},
		{len(c.Storage.Luks) > 0, []any{"storage", "luks"}, disks},
		{len(c.Storage.Trees) > 0, []any{"storage", "trees"}, "write the files as storage.files with inline contents"},
		{c.BootDevice.Layout != nil || c.BootDevice.Luks.Tpm2 != nil || len(c.BootDevice.Luks.Tang) > 0 || c.BootDevice.Luks.Threshold != nil || len(c.BootDevice.Mirror.Devices) > 0,
			[]any{"boot_device"}, disks},
		{len(c.KernelArguments.ShouldExist)+len(c.KernelArguments.ShouldNotExist) > 0, []any{"kernel_arguments"}, "set kernel_args in the profile"},
		{len(c.Ignition.Config.Merge) > 0, []any{"ignition", "config", "merge"}, "write everything into this file: nothing is fetched when a host is made"},
		{resourceSet(c.Ignition.Config.Replace), []any{"ignition", "config", "replace"}, "write everything into this file: nothing is fetched when a host is made"},
		{c.Ignition.Proxy.HTTPProxy != nil || c.Ignition.Proxy.HTTPSProxy != nil || len(c.Ignition.Proxy.NoProxy) > 0, []any{"ignition", "proxy"}, "nothing is fetched when a host is made"},
		{len(c.Ignition.Security.TLS.CertificateAuthorities) > 0, []any{"ignition", "security"}, "nothing is fetched when a host is made"},
		{c.Ignition.Timeouts.HTTPResponseHeaders != nil || c.Ignition.Timeouts.HTTPTotal != nil, []any{"ignition", "timeouts"}, "nothing is fetched when a host is made"},
	} {
		if r.set {
			t.refused(r.path, r.remedy)
		}
	}
	t.refuseContents(c)
	t.refusePasswd(c)
}

func (t *translated) refused(path []any, remedy string) {
	words := make([]string, len(path))
	for i, p := range path {
		words[i], _ = p.(string)
	}
	t.diags.Errorf(t.yamlAt(path...), remedy, "%s is not applied by nuboctl's installer", strings.Join(words, "."))
}

func resourceSet(r base.Resource) bool { return r.Source != nil || r.Inline != nil || r.Local != nil }

// refuseContents wants every file's contents in the config itself.
func (t *translated) refuseContents(c fcos.Config) {
	const remedy = "write it as inline contents"
	for i, f := range c.Storage.Files {
		t.refuseResource(f.Contents, remedy, "storage", "files", i, "contents")
		for j, a := range f.Append {
			t.refuseResource(a, remedy, "storage", "files", i, "append", j)
		}
	}
}

func (t *translated) refuseResource(r base.Resource, remedy string, at ...any) {
	path := func(key string) []any { return append(append([]any{}, at...), key) }
	if r.Source != nil && *r.Source != "" && !strings.HasPrefix(*r.Source, "data:") {
		t.diags.Errorf(t.yamlAt(path("source")...), remedy, "contents are not fetched from anywhere when a host is made")
	}
	if r.Local != nil {
		t.diags.Errorf(t.yamlAt(path("local")...), remedy, "local contents are not read")
	}
	if len(r.HTTPHeaders) > 0 {
		t.diags.Errorf(t.yamlAt(path("http_headers")...), "remove it", "http_headers: nothing is fetched when a host is made")
	}
}

// refusePasswd keeps secrets out of configs, and to what the installer does with accounts.
func (t *translated) refusePasswd(c fcos.Config) {
	const secret = "use ssh_authorized_keys or the operator's SSH authority: a password's hash is a secret, and configs are not secret"
	for i, u := range c.Passwd.Users {
		if u.PasswordHash != nil && *u.PasswordHash != "" {
			t.diags.Errorf(t.yamlAt("passwd", "users", i, "password_hash"), secret, "user %s: password_hash is not applied", u.Name)
		}
		if u.ShouldExist != nil && !*u.ShouldExist {
			t.diags.Errorf(t.yamlAt("passwd", "users", i, "should_exist"), "leave the user out", "user %s: accounts are not removed", u.Name)
		}
		if u.Name == "root" && len(u.SSHAuthorizedKeys) > 0 {
			t.diags.Errorf(t.yamlAt("passwd", "users", i, "ssh_authorized_keys"), "give the key to another user", "root logs in with a certificate of the operator's authority only")
		}
	}
	for i, g := range c.Passwd.Groups {
		if g.PasswordHash != nil && *g.PasswordHash != "" {
			t.diags.Errorf(t.yamlAt("passwd", "groups", i, "password_hash"), secret, "group %s: password_hash is not applied", g.Name)
		}
		if g.ShouldExist != nil && !*g.ShouldExist {
			t.diags.Errorf(t.yamlAt("passwd", "groups", i, "should_exist"), "leave the group out", "group %s: groups are not removed", g.Name)
		}
	}
}
