package hostfiles

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/installer/run"
)

// chrooted records commands, and does what useradd and groupadd would to the tables below root.
type chrooted struct {
	root string
	ran  []string
}

func (c *chrooted) Run(_ context.Context, cmd run.Cmd) ([]byte, error) {
	args := cmd.Args[1:]
	c.ran = append(c.ran, strings.Join(args, " "))
	name := args[len(args)-1]
	switch args[0] {
	case "useradd":
		return nil, c.add("etc/passwd", fmt.Sprintf("%s:x:1000:1000::/home/%s:/bin/sh\n", name, name))
	case "groupadd":
		return nil, c.add("etc/group", fmt.Sprintf("%s:x:900:\n", name))
	}
	return nil, nil
}

func (c *chrooted) add(file, line string) error {
	b, err := os.ReadFile(filepath.Join(c.root, file))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.root, file), append(b, line...), 0o644)
}

// tree makes a small root.
func tree(t *testing.T) (string, *chrooted) {
	t.Helper()
	root := t.TempDir()
	for path, body := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/bin/false\n", "etc/group": "root:x:0:\nkvm:x:104:\n",
		"etc/issue": "Debian\n", "usr/lib/x": "x",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/usr/lib", filepath.Join(root, "out")); err != nil {
		t.Fatal(err)
	}
	return root, &chrooted{root: root}
}

func apply(t *testing.T, root string, r run.Runner, config string) error {
	t.Helper()
	c, err := Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(root, r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	return a.Apply(t.Context(), c)
}

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return "data:;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestApply(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("changes owners: needs root")
	}
	root, runner := tree(t)
	sum := sha256.Sum256([]byte("zipped\n"))
	config := fmt.Sprintf(`{"ignition":{"version":"3.3.0"},
	"passwd":{"groups":[{"name":"ops","gid":900}],"users":[
	  {"name":"nubo","uid":1000,"groups":["ops"],"shell":"/bin/bash","sshAuthorizedKeys":["ssh-ed25519 A one","ssh-ed25519 B two"]},
	  {"name":"root","sshAuthorizedKeys":["ssh-ed25519 C"]}]},
	"storage":{
	  "directories":[{"path":"/srv/deep/er","mode":504,"user":{"name":"nubo"},"group":{"name":"ops"}}],
	  "files":[
	    {"path":"/etc/new/file","contents":{"source":"data:,hello%%20there%%0A"},"mode":384,"group":{"name":"kvm"}},
	    {"path":"/etc/zip","contents":{"source":%q,"compression":"gzip","verification":{"hash":"sha256-%s"}}},
	    {"path":"/etc/issue","overwrite":true,"contents":{"source":"data:,nubo"}},
	    {"path":"/etc/list","append":[{"source":"data:,more%%0A"}]},
	    {"path":"/usr/local/bin/suid","mode":2541,"contents":{"source":"data:,x"}}],
	  "links":[{"path":"/etc/localtime","target":"/usr/share/zoneinfo/UTC"},{"path":"/etc/hard","hard":true,"overwrite":true,"target":"/etc/zip"}]},
	"systemd":{"units":[
	  {"name":"a.service","enabled":true,"contents":"[Install]\n"},{"name":"b.service","enabled":false},{"name":"c.service","mask":true,"enabled":true},
	  {"name":"ssh.service","dropins":[{"name":"10-x.conf","contents":"[Unit]\n"}]}]}}`, zipped("zipped\n"), hex.EncodeToString(sum[:]))
	for range 2 { // the second time changes nothing
		runner.ran = nil
		if err := apply(t, root, runner, config); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"usermod --shell /bin/bash --uid 1000 --groups ops --append nubo",
		"systemctl enable -- a.service", "systemctl disable -- b.service",
	}
	if diff := cmp.Diff(want, runner.ran); diff != "" {
		t.Error(diff)
	}
	for path, want := range map[string]string{
		"etc/new/file": "hello there\n", "etc/zip": "zipped\n", "etc/hard": "zipped\n", "etc/issue": "nubo", "etc/list": "more\n",
		"etc/systemd/system/a.service": "[Install]\n", "etc/systemd/system/ssh.service.d/10-x.conf": "[Unit]\n",
		"home/nubo/.ssh/authorized_keys": "ssh-ed25519 A one\nssh-ed25519 B two\n", "root/.ssh/authorized_keys": "ssh-ed25519 C\n",
	} {
		if got, err := os.ReadFile(filepath.Join(root, path)); err != nil || string(got) != want {
			t.Errorf("%s: %v %q, want %q", path, err, got, want)
		}
	}
	for path, want := range map[string]string{
		"srv/deep/er": "drwxrwx--- 1000 900", "etc/new/file": "-rw------- 0 104", "etc/zip": "-rw-r--r-- 0 0", "usr/local/bin/suid": "urwxr-xr-x 0 0",
		"etc/localtime": "Lrwxrwxrwx 0 0", "etc/systemd/system/c.service": "Lrwxrwxrwx 0 0",
		"home/nubo/.ssh": "drwx------ 1000 1000", "home/nubo/.ssh/authorized_keys": "-rw------- 1000 1000",
	} {
		st, err := os.Lstat(filepath.Join(root, path))
		if err != nil {
			t.Error(err)
			continue
		}
		sys := st.Sys().(*syscall.Stat_t)
		if got := fmt.Sprintf("%s %d %d", st.Mode(), sys.Uid, sys.Gid); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestMakesAccounts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("changes owners: needs root")
	}
	root, runner := tree(t)
	config := `{"ignition":{"version":"3.3.0"},"passwd":{"groups":[{"name":"ops","gid":900,"system":true}],
	 "users":[{"name":"nubo","uid":1000,"gecos":"The operator","homeDir":"/home/nubo","primaryGroup":"ops","system":true,"noCreateHome":true},{"name":"daemon"}]}}`
	if err := apply(t, root, runner, config); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"groupadd --gid 900 --system ops",
		"useradd --comment The operator --gid ops --uid 1000 --home-dir /home/nubo --system nubo",
	}
	if diff := cmp.Diff(want, runner.ran); diff != "" {
		t.Error(diff)
	}
}

func TestApplyRefuses(t *testing.T) {
	for name, c := range map[string]struct{ storage, want string }{
		"a file of the image":     {`"files":[{"path":"/etc/issue","contents":{"source":"data:,x"}}]`, "overwrite: true"},
		"a link that leads out":   {`"files":[{"path":"/out/x","contents":{"source":"data:,x"}}]`, "/out/x"},
		"an owner nobody knows":   {`"files":[{"path":"/etc/x","user":{"name":"ghost"},"contents":{"source":"data:,x"}}]`, `user "ghost"`},
		"a wrong hash":            {`"files":[{"path":"/etc/x","contents":{"source":"data:,x","verification":{"hash":"sha256-` + strings.Repeat("0", 64) + `"}}}]`, "the config says"},
		"a directory over a file": {`"directories":[{"path":"/etc/issue"}]`, "overwrite: true"},
		"a link over a file":      {`"links":[{"path":"/etc/issue","target":"/x"}]`, "overwrite: true"},
		"what is no gzip":         {`"files":[{"path":"/etc/x","contents":{"source":"data:,x","compression":"gzip"}}]`, "contents"},
	} {
		t.Run(name, func(t *testing.T) {
			root, runner := tree(t)
			err := apply(t, root, runner, `{"ignition":{"version":"3.3.0"},"storage":{`+c.storage+`}}`)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if got, err := os.ReadFile(filepath.Join(root, "etc/issue")); err != nil || string(got) != "Debian\n" {
				t.Errorf("the image's file is %q, %v", got, err)
			}
		})
	}
}

// Everything that is not applied is refused, and all of it is named.
func TestParseRefuses(t *testing.T) {
	_, err := Parse([]byte(`{"ignition":{"version":"3.3.0","config":{"merge":[{"source":"data:,x"}]},"proxy":{"httpProxy":"http://p.example"},"timeouts":{"httpTotal":1}},
	 "kernelArguments":{"shouldExist":["quiet"]},
	 "passwd":{"users":[{"name":"u","passwordHash":"$6$x"},{"name":"gone","shouldExist":false}],"groups":[{"name":"g","shouldExist":false}]},
	 "storage":{"disks":[{"device":"/dev/vda"}],"filesystems":[{"device":"/dev/vda1","format":"ext4","path":"/x"}],
	   "raid":[{"name":"md0","level":"raid1","devices":["/dev/a"]}],"luks":[{"name":"l","device":"/dev/vda2"}],
	   "files":[{"path":"/etc/x","contents":{"source":"http://example.org/x"}}]},
	 "systemd":{"units":[{"name":"a.service","enabeld":true}]}}`))
	if !errors.Is(err, ErrUnsupported) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"ignition.config", "ignition.proxy", "ignition.timeouts", "kernelArguments", "users u", "users gone", "groups g",
		"storage.disks", "storage.filesystems", "storage.raid", "storage.luks", "/etc/x", "enabeld"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "$6$x") {
		t.Error("a password hash is printed")
	}
	for _, bad := range []string{``, `{`, `{"ignition":{"version":"2.0.0"}}`, `{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"relative"}]}}`} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("accepted: %s", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/etc/x","contents":{"source":"data:,x"}}]}}`))
	f.Add([]byte(`{"ignition":{"version":"3.3.0"},"systemd":{"units":[{"name":"a.service"}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		for _, file := range c.Storage.Files {
			_, _ = contents(file.Contents)
		}
	})
}
