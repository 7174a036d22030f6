package image

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
)

type entry struct {
	name, content, link string
	stamp               int64
}

func tarOf(t testing.TB, list []entry) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range list {
		h := &tar.Header{Name: e.name, Linkname: e.link, Size: int64(len(e.content)), Mode: 0o644, ModTime: time.Unix(e.stamp, 0), Typeflag: tar.TypeReg}
		if e.link != "" {
			h.Typeflag = tar.TypeSymlink
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

// goodRoot is the least that passes as a host.
func goodRoot() []entry {
	return []entry{
		{name: "./etc/passwd", content: "root:x:0:0:root:/root:/bin/bash\n"}, {name: "./etc/group", content: "root:x:0:\n"},
		{name: "./etc/shadow", content: "root:*:1::::::\n"}, {name: "./initrd.img", link: "boot/initrd.img-6.12-amd64"},
		{name: "./vmlinuz", link: "boot/vmlinuz-6.12-amd64"},
		{name: "./var/lib/dpkg/status", content: "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"},
	}
}

func TestScanRoot(t *testing.T) {
	d := Definition{Name: "x", Epoch: 10}
	facts, err := scanRoot(d, tarOf(t, goodRoot()))
	if err != nil || facts.kernel != "6.12-amd64" || len(facts.packages) != 1 || facts.packages[0] != (manifest.Package{Name: "a", Version: "1", Architecture: "all"}) {
		t.Errorf("%+v %v", facts, err)
	}
	for name, c := range map[string]struct {
		change func([]entry) []entry
		want   string
	}{
		"no initrd":      {func(l []entry) []entry { return append(l[:3:3], l[4:]...) }, "not one kernel's"},
		"other kernel":   {func(l []entry) []entry { l[4].link = "boot/vmlinuz-6.13-amd64"; return l }, "not one kernel's"},
		"no dpkg":        {func(l []entry) []entry { return l[:5] }, "var/lib/dpkg/status is missing"},
		"too new":        {func(l []entry) []entry { l[0].stamp = 11; return l }, "etc/passwd is newer"},
		"user by chance": {func(l []entry) []entry { l[0].content += "x:x:999:0::/:/bin/false\n"; return l }, "by chance"},
	} {
		if _, err := scanRoot(d, tarOf(t, c.change(goodRoot()))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	half := tarOf(t, goodRoot())
	half.Truncate(700)
	if _, err := scanRoot(d, half); err == nil {
		t.Error("half a tar passed")
	}
}

func FuzzScanRoot(f *testing.F) {
	f.Add(tarOf(f, goodRoot()).Bytes())
	f.Add([]byte("not a tar"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = scanRoot(Definition{Name: "x", Epoch: 1 << 40}, bytes.NewReader(data))
	})
}
