package image

import (
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/nuboctl/nuboctl/images"
)

// An operator's definition may be like one of the program's, and stand in the place of one.
func TestOverlay(t *testing.T) {
	top := fstest.MapFS{
		"ours/image.hcl":      {Data: []byte("image {\n  like     = \"debian-13\"\n  packages = [\"tmux\"]\n}\n")},
		"guest/init":          {Data: []byte("#!/bin/sh\n")},
		"debian-12/image.hcl": {Data: []byte("image {\n  like = \"debian-13\"\n  without = [\"vim-tiny\"]\n}\n")},
	}
	both := Overlay(top, images.FS)
	names, err := Definitions(both)
	if err != nil || !slices.Equal(names, []string{"debian-12", "debian-13", "guest", "ours", "ramdisk"}) {
		t.Fatalf("defined are %q, %v", names, err)
	}
	ours, err := Load(both, "ours")
	if err != nil || !slices.Contains(ours.Packages, "tmux") || !slices.Contains(ours.Packages, "ceph-osd") {
		t.Errorf("ours has %q, %v", ours.Packages, err)
	}
	if twelve, err := Load(both, "debian-12"); err != nil || twelve.Release != "trixie" || slices.Contains(twelve.Packages, "vim-tiny") {
		t.Errorf("debian-12 is of %q, %v", twelve.Release, err)
	}
	if text, err := fs.ReadFile(both, "guest/init"); err != nil || string(text) != "#!/bin/sh\n" {
		t.Errorf("the guest's init is %q, %v", text, err)
	}
	if _, err := fs.ReadFile(both, "no/such"); err == nil {
		t.Error("a file that neither has was opened")
	}
	if _, err := fs.ReadDir(both, "no"); err == nil {
		t.Error("a directory that neither has was read")
	}
}
