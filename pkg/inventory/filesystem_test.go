package inventory

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/model"
)

func TestFilesystem(t *testing.T) {
	const mds = `, "ceph-mds"`
	pool := func(name, more string) string {
		return "network = \"storage\"\npool \"" + name + "\" {\n  application = \"cephfs\"\n" + more + "}\n"
	}
	pools := pool("meta", "") + strings.TrimPrefix(pool("data", ""), "network = \"storage\"\n") + strings.TrimPrefix(pool("big", "k = 2\nm = 1\n"), "network = \"storage\"\n")
	fs := func(metadata, data string) string {
		return pools + "pool \"vms\" {\n}\nfilesystem \"files\" {\n  metadata = \"" + metadata + "\"\n  data     = [" + data + "]\n}"
	}
	for name, c := range map[string]struct {
		ceph, role string
		want       string // a mistake; empty: none
		warned     bool   // and it is a warning
	}{
		"as it should be":                {fs("meta", `"data", "big"`), mds, "", false},
		"nobody serves":                  {fs("meta", `"data"`), "", "nobody serves filesystem files", false},
		"nothing to serve":               {pools, mds, "only stand by", true},
		"no such pool":                   {fs("mete", `"data"`), mds, "there is no pool mete", false},
		"a pool of something else":       {fs("meta", `"vms"`), mds, "pool vms is for rbd", false},
		"names in an erasure-coded pool": {fs("big", `"data"`), mds, "pool big is erasure-coded", false},
		"a default pool that is":         {fs("meta", `"big", "data"`), mds, "pool big is erasure-coded", false},
		"a pool twice":                   {fs("meta", `"data", "meta"`), mds, "pool meta is named twice", false},
		"no data pool":                   {fs("meta", ``), mds, "has no pool for what is in files", false},
	} {
		t.Run(name, func(t *testing.T) {
			inv, diags := LoadFiles(map[string][]byte{"x.hcl": []byte(gatewaySite(c.ceph, c.role))}, Options{Images: []string{"debian-13"}})
			said, wrong := "", false
			for _, d := range diags {
				if !strings.Contains(d.Summary, "has no credentials") && !strings.Contains(d.Summary, "with m = 1") { // no matter here
					said, wrong = said+d.Summary+"\n", wrong || d.Severity == diag.Error
				}
			}
			if (c.want == "") != (said == "") || !strings.Contains(said, c.want) || wrong != (c.want != "" && !c.warned) {
				t.Fatalf("%q is to be said, and it is:\n%s", c.want, said)
			}
			if c.want != "" {
				return
			}
			want := &model.Filesystem{Name: "files", Metadata: "meta", Data: []string{"data", "big"}}
			if diff := cmp.Diff(want, inv.Desired.Regions[0].Ceph.Filesystem); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestOneFilesystem: a cluster has no second one.
func TestOneFilesystem(t *testing.T) {
	const fs = "filesystem \"a\" {\n  metadata = \"meta\"\n  data = [\"data\"]\n}\n"
	_, diags := LoadFiles(map[string][]byte{"x.hcl": []byte(gatewaySite(fs+strings.Replace(fs, `"a"`, `"b"`, 1), ""))}, Options{Images: []string{"debian-13"}})
	if !strings.Contains(fmt.Sprint(diags), "more than one filesystem") {
		t.Errorf("%v", diags)
	}
}

// TestOneMetadataServer: that it has no standby is told.
func TestOneMetadataServer(t *testing.T) {
	text := gatewaySite("network = \"storage\"\npool \"meta\" {\n  application = \"cephfs\"\n}\npool \"data\" {\n  application = \"cephfs\"\n}\nfilesystem \"files\" {\n  metadata = \"meta\"\n  data = [\"data\"]\n}", "")
	text = strings.Replace(text, "          profile  = \"p\"\n", "          profile  = \"p\"\n          roles    = each.value == 1 ? [\"ceph-mon\", \"ceph-mgr\", \"ceph-osd\", \"ceph-mds\"] : [\"ceph-mon\", \"ceph-mgr\", \"ceph-osd\"]\n", 1)
	_, diags := LoadFiles(map[string][]byte{"x.hcl": []byte(text)}, Options{Images: []string{"debian-13"}})
	if !strings.Contains(fmt.Sprint(diags), "filesystem files stops when the one node") {
		t.Errorf("%v", diags)
	}
}
