package profile

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vincent-petithory/dataurl"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// planed is the node with everything, and a plane on each network.
func planed() Input {
	in := bonded("")
	d := *in.Desired
	d.Networks = append([]model.Network(nil), d.Networks...)
	d.Networks[0].Planes = []model.Plane{model.PlaneManagement, model.PlanePublic}
	d.Networks[1].Planes = []model.Plane{model.PlaneStorage, model.PlaneMigration}
	in.Desired = &d
	return in
}

func fileOf(t *testing.T, in Input, name string) (string, bool) {
	t.Helper()
	own, diags := hostConfig(in)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	for _, f := range own.Storage.Files {
		if f.Path == name {
			u, err := dataurl.DecodeString(*f.Contents.Source)
			if err != nil {
				t.Fatal(err)
			}
			return string(u.Data), true
		}
	}
	return "", false
}

// TestFirewall lets the real nft judge the rules, in a network namespace of its own.
func TestFirewall(t *testing.T) {
	if _, on := fileOf(t, bonded(""), "/etc/nftables.conf"); on {
		t.Error("a cloud without planes has a firewall")
	}
	text, _ := fileOf(t, planed(), "/etc/nftables.conf")
	golden(t, "nftables.conf", []byte(text))
	file := filepath.Join(t.TempDir(), "nftables.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	// Twice: the second time replaces the first.
	out, err := exec.Command("unshare", "--net", "sh", "-euc", `nft -f "$1"; nft -f "$1"; nft list ruleset`, "nft", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if strings.Count(string(out), "chain input") != 1 || strings.Count(string(out), "dport") != 4 {
		t.Errorf("nft holds:\n%s", out)
	}
}

// TestFirewallLetsS3In: where the inventory says on which network an object gateway serves, and only on a host with one. nft judges the rule.
func TestFirewallLetsS3In(t *testing.T) {
	in := planed()
	plain, _ := fileOf(t, in, "/etc/nftables.conf")
	in.Desired.Regions = []model.Region{{Path: in.Node.Path.Region(), Ceph: &model.Ceph{S3: &model.S3{Network: in.Desired.Networks[0].Name, Port: 8080}}}}
	if text, _ := fileOf(t, in, "/etc/nftables.conf"); text != plain {
		t.Errorf("a host without a gateway:\n%s", text)
	}
	in.Node.Roles = append(slices.Clone(in.Node.Roles), model.RoleCephRGW)
	text, _ := fileOf(t, in, "/etc/nftables.conf")
	if !strings.Contains(text, `tcp dport 8080 accept comment "S3"`) {
		t.Errorf("a host with one:\n%s", text)
	}
	file := filepath.Join(t.TempDir(), "nftables.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("unshare", "--net", "nft", "-f", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestServicesStartAtBoot: only on a host with a metadata server or an object gateway is the script that starts Ceph another.
func TestServicesStartAtBoot(t *testing.T) {
	plain, with := bootScript([]model.Role{model.RoleCephOSD}), bootScript([]model.Role{model.RoleCephOSD, model.RoleCephRGW})
	both := bootScript([]model.Role{model.RoleCephMDS, model.RoleCephRGW})
	if !strings.HasSuffix(both, "start mds\nstart radosgw\n") || strings.Count(both, cephStores+" /var/lib/ceph/mds/ceph-*/keyring /var/lib/ceph/radosgw/ceph-*/keyring") != 1 {
		t.Errorf("with a metadata server it runs:\n%s", both)
	}
	if plain != cephScript || !strings.HasSuffix(with, "start radosgw\n") || strings.Count(with, "/var/lib/ceph/radosgw/ceph-*/keyring") != 1 {
		t.Errorf("it runs:\n%s", with)
	}
}

func TestFirewallThatWouldShutUsOut(t *testing.T) {
	in := planed()
	in.Desired.Networks[0].Planes = nil
	_, diags := hostConfig(in)
	if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), "shut nuboctl out") {
		t.Errorf("got %v", diags.Err())
	}
}
