//go:build e2e && e2elong

package peer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Prepare writes into dir all that is served to the blade, and the servers' settings. Nothing of it is part of the measured time.
func Prepare(ctx context.Context, dir string, c Config) error {
	www, tftp := filepath.Join(dir, "www"), filepath.Join(dir, "tftp")
	for _, d := range []string{www, tftp} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := mirror(ctx, filepath.Join(www, "debian"), c.Cache, c.Definition.Release, c.Image.Packages); err != nil {
		return err
	}
	initrd, err := os.ReadFile(c.Initrd)
	if err != nil {
		return err
	}
	added, err := segment(ctx, dir, c)
	if err != nil {
		return err
	}
	for len(initrd)%4 != 0 { // as in image.AssembleRamdisk
		initrd = append(initrd, 0)
	}
	if err := os.WriteFile(filepath.Join(www, "initrd"), append(initrd, added...), 0o644); err != nil {
		return err
	}
	if err := place(c.Kernel, filepath.Join(www, "vmlinuz")); err != nil {
		return err
	}
	if err := place("/usr/lib/ipxe/snponly.efi", filepath.Join(tftp, "snponly.efi")); err != nil {
		return err
	}
	script := "#!ipxe\nkernel vmlinuz initrd=initrd BOOTIF=01-${net0/mac:hexhyp} console=tty0 console=ttyS0,115200 panic=60\ninitrd initrd\nboot\n"
	if err := os.WriteFile(filepath.Join(www, "boot.ipxe"), []byte(script), 0o644); err != nil {
		return err
	}
	settings := fmt.Sprintf("daemon off; user root; worker_processes 2; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;\nevents {}\n"+
		"http { access_log off; sendfile on; default_type application/octet-stream; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;\n"+
		"fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;\n"+
		"server { listen %[2]s:8080; root %[1]s/www; } }\n", dir, c.Station)
	return os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(settings), 0o644)
}

// Servers are the programs to run on the station, until the blade is installed.
func Servers(dir string, c Config) [][]string {
	return [][]string{
		{"nginx", "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "nginx.log")},
		{
			"dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--user=root", "--port=0", "--bind-interfaces", "--listen-address=" + c.Station,
			"--dhcp-range=" + c.Address + ",static", "--dhcp-host=" + c.MAC + "," + c.Address, "--dhcp-leasefile=" + filepath.Join(dir, "leases"),
			"--enable-tftp", "--tftp-root=" + filepath.Join(dir, "tftp"), "--dhcp-match=set:ipxe,175", "--dhcp-boot=tag:!ipxe,snponly.efi",
			"--dhcp-boot=tag:ipxe,http://" + c.Station + ":8080/boot.ipxe",
		},
	}
}
