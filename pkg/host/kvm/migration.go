package kvm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/host/pki"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

// Authorities sign what hosts trust each other by when virtual machines move between them. Libvirt's certificate is root on every host, since
// who has it may tell any libvirt what to run; QEMU's only receives a guest's memory. So each has its own authority, and the key that a QEMU can
// read opens no libvirt.
type Authorities struct {
	Libvirt, QEMU *pki.Authority
}

// Migration is how a host takes part in moves of virtual machines.
type Migration struct {
	Name    string     // of the host
	Address netip.Addr // where libvirt and QEMU listen for other hosts
}

func (m Migration) subject() pki.Subject {
	return pki.Subject{Name: m.Name, Addresses: []netip.Addr{m.Address}}
}

// pkiDir outlives the slot, as all of /etc/libvirt does. Libvirt and QEMU look below /etc/pki (https://libvirt.org/tlscerts.html) and are led there by
// links, which are part of every slot (package profile), so that a host that changed its slot can move machines at once.
const pkiDir = "/etc/libvirt/pki"

var (
	libvirtPlace = pki.Place{
		CA: pkiDir + "/CA/cacert.pem", Cert: pkiDir + "/libvirt/servercert.pem", Key: pkiDir + "/libvirt/private/serverkey.pem",
		Links: map[string]string{
			pkiDir + "/libvirt/clientcert.pem": "servercert.pem", pkiDir + "/libvirt/private/clientkey.pem": "serverkey.pem",
			"/etc/pki/CA": pkiDir + "/CA", "/etc/pki/libvirt": pkiDir + "/libvirt",
		},
	}
	qemuPlace = pki.Place{
		CA: pkiDir + "/qemu/ca-cert.pem", Cert: pkiDir + "/qemu/server-cert.pem", Key: pkiDir + "/qemu/server-key.pem", Owner: "libvirt-qemu",
		Links: map[string]string{
			pkiDir + "/qemu/client-cert.pem": "server-cert.pem", pkiDir + "/qemu/client-key.pem": "server-key.pem", "/etc/pki/qemu": pkiDir + "/qemu",
		},
	}
)

const (
	qemuConf   = "/etc/libvirt/qemu.conf"
	socketConf = "/etc/systemd/system/libvirtd-tls.socket.d/10-nubo.conf"
	confHeader = "# Written by nuboctl from the inventory; changes here do not last.\n"
)

// QEMUConf is what libvirt is told about QEMU (/etc/libvirt/qemu.conf): guests' memory is received at one address, and in TLS only.
func (m Migration) QEMUConf() string {
	return fmt.Sprintf("%smigration_address = %q\nmigration_host = %q\nmigrate_tls_force = 1\nmigrate_tls_x509_verify = 1\n", confHeader, m.Address, m.Address)
}

// Socket makes libvirt's TLS port listen at one address only, and not before there is a certificate. FreeBind: the address comes with the bridges,
// perhaps later than the socket. Package profile lays the same down in every slot.
func (m Migration) Socket() string {
	return confHeader + "[Unit]\nConditionPathExists=" + libvirtPlace.Cert + "\n\n[Socket]\nListenStream=\nListenStream=" + netip.AddrPortFrom(m.Address, libvirtPort).String() + "\nFreeBind=yes\n"
}

// libvirtPort is libvirt's registered port for TLS.
const libvirtPort = 16514

// Observe finds out whether a host is prepared: nil, ErrUnprepared with the reasons, or another error when that cannot be found out.
func (m Migration) Observe(ctx context.Context, h remote.Host, a Authorities, now time.Time) error {
	errs := []error{a.Libvirt.Observe(ctx, h, libvirtPlace, m.subject(), now), a.QEMU.Observe(ctx, h, qemuPlace, m.subject(), now)}
	for _, err := range errs {
		if err != nil && !errors.Is(err, pki.ErrUncertified) {
			return err
		}
	}
	res, err := h.Run(ctx, remote.Command{Argv: []string{"sh", "-euc", lookScript, "look", qemuConf, socketConf}})
	if err != nil {
		return err
	}
	active, texts, _ := strings.Cut(string(res.Stdout), "\n")
	if active != "active" {
		errs = append(errs, errors.New("libvirt does not listen for other hosts (libvirtd-tls.socket)"))
	}
	if texts != m.QEMUConf()+"-- \n"+m.Socket() {
		errs = append(errs, fmt.Errorf("%s or %s is not as nuboctl writes it", qemuConf, socketConf))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: %w", ErrUnprepared, err)
	}
	return nil
}

// lookScript prints whether libvirt listens for other hosts, a line, and two files with a line between them.
const lookScript = `systemctl is-active libvirtd-tls.socket || :
cat -- "$1" 2>/dev/null || :
echo "-- "
cat -- "$2" 2>/dev/null || :`

// ErrUnprepared says that a host cannot take part in moves of virtual machines.
var ErrUnprepared = errors.New("not prepared for live migration")

// restartScript makes libvirt read all of it anew. systemd refuses to start a socket while its service runs, hence the order; virtual machines are
// processes of their own and do not notice.
const restartScript = `systemctl daemon-reload
systemctl enable --quiet libvirtd-tls.socket
systemctl stop libvirtd.service
systemctl restart libvirtd-tls.socket
systemctl start libvirtd.socket libvirtd.service`

// Ensure prepares a host. It reports whether anything changed.
func (m Migration) Ensure(ctx context.Context, h remote.Host, a Authorities, now time.Time) (changed bool, err error) {
	if err := m.Observe(ctx, h, a, now); err == nil || !errors.Is(err, ErrUnprepared) {
		return false, err
	}
	if _, err := m.Certify(ctx, h, a, now); err != nil {
		return false, err
	}
	if _, err := h.Run(ctx, remote.Command{Argv: []string{"mkdir", "-p", "/etc/systemd/system/libvirtd-tls.socket.d"}}); err != nil {
		return false, err
	}
	for name, text := range map[string]string{qemuConf: m.QEMUConf(), socketConf: m.Socket()} {
		if _, err := remote.Ensure(ctx, h, remote.Bytes(name, 0o644, []byte(text))); err != nil {
			return false, err
		}
	}
	if _, err := h.Run(ctx, remote.Command{Script: restartScript, Limit: restartWithin}); err != nil {
		return false, fmt.Errorf("restart libvirt: %w", err)
	}
	return true, m.Observe(ctx, h, a, now)
}

// restartWithin bounds a restart of libvirt, which looks at all domains again, on a busy host.
const restartWithin = 5 * time.Minute

// Certify gives a host the certificates alone.
func (m Migration) Certify(ctx context.Context, h remote.Host, a Authorities, now time.Time) (changed bool, err error) {
	one, err1 := a.Libvirt.Ensure(ctx, h, libvirtPlace, m.subject(), now)
	two, err2 := a.QEMU.Ensure(ctx, h, qemuPlace, m.subject(), now)
	return one || two, errors.Join(err1, err2)
}
