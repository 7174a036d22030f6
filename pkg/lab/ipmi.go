package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ipmiLAN gives ipmi_sim's LAN file (ipmi_lan(5)): one user, IPMI 2.0 on one address. The chassis program is told the
// controller's address as its first argument. Serial-over-LAN is connected to the address line, with a history on instance 2.
func ipmiLAN(b Blade, script, line string) string {
	addr := netip.MustParseAddrPort(b.BMC.Address)
	return fmt.Sprintf(`name "%s"
startlan 1
  addr %s %d
  priv_limit admin
  allowed_auths_callback none md2 md5 straight
  allowed_auths_user none md2 md5 straight
  allowed_auths_operator none md2 md5 straight
  allowed_auths_admin none md2 md5 straight
  guid %s
endlan
chassis_control "%s 0x20"
sol "tcp:%s" 115200 history=65536
user 1 false "" "" user 10 none md2 md5 straight
user 2 true "%s" "%s" admin 10 none md2 md5 straight
`, b.Name, addr.Addr(), addr.Port(), guid(b), script, line, b.BMC.User, b.BMC.Password)
}

// ipmiEmulation gives ipmi_sim's command file (ipmi_sim_cmd(5)): one controller with the blade's FRU data.
func ipmiEmulation(b Blade) string {
	data := fru(b)
	hex := make([]string, len(data))
	for i, octet := range data {
		hex[i] = fmt.Sprintf("0x%02x", octet)
	}
	return fmt.Sprintf(`mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_add_fru_data 0x20 0 %d data %s
mc_set_guid 0x20 %s
sel_enable 0x20 1000 0x0a
mc_enable 0x20
`, len(data), strings.Join(hex, " "), guid(b))
}

// guid is the blade's UUID as 32 hexadecimal digits.
func guid(b Blade) string { return strings.ReplaceAll(b.UUID, "-", "") }

func ipmiProcName(blade string) string { return "ipmi-" + blade }

// chassisScript is what ipmi_sim runs. It is a file, as ipmi_sim splits its command at spaces.
func chassisScript(b Blade, d Dirs, self string) string {
	word := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	return fmt.Sprintf("#!/bin/sh\nshift\nexec %s chassis --socket %s %s \"$@\"\n", word(self), word(d.control()), b.Name)
}

// startIPMI writes the files of a blade's ipmi_sim and starts it, in place of an older one. It returns when the BMC answers.
func startIPMI(ctx context.Context, b Blade, d Dirs, self, line string) error {
	dir, script := filepath.Join(d.blade(b.Name), "ipmi"), filepath.Join(d.Sockets, b.Name+".chassis")
	lan, emu := filepath.Join(dir, "lan.conf"), filepath.Join(dir, "bmc.emu")
	err := errors.Join(
		os.MkdirAll(dir, 0o700),
		writeFile(lan, []byte(ipmiLAN(b, script, line)), 0o600),
		writeFile(emu, []byte(ipmiEmulation(b)), 0o600),
		writeFile(script, []byte(chassisScript(b, d, self)), 0o700),
	)
	procs := records(d.procs())
	if err == nil {
		err = procs.end(ctx, ipmiProcName(b.Name), 5*time.Second)
	}
	if err != nil {
		return fmt.Errorf("prepare the BMC of %s: %w", b.Name, err)
	}
	log := filepath.Join(d.logs(), ipmiProcName(b.Name)+".log")
	p, err := procs.start(ipmiProcName(b.Name), exec.Command("ipmi_sim", "-n", "-c", lan, "-f", emu, "-s", dir), log)
	if err != nil {
		return err
	}
	err = waitFor(ctx, "the IPMI BMC of "+b.Name, time.Minute, func() (bool, error) {
		if !p.Alive() {
			return false, fmt.Errorf("ipmi_sim has ended: %s", lastLines(log, 5))
		}
		return rmcpPing(b.BMC.Address), nil
	})
	return err
}

// rmcpPing sends an ASF presence ping (IPMI 2.0, 13.2.3) and tells whether something answered.
func rmcpPing(address string) bool {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := conn.Write([]byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 0, 0, 0}); err != nil {
		return false
	}
	n, err := conn.Read(make([]byte, 64))
	return err == nil && n > 0
}

// keepIPMI starts a blade's ipmi_sim again whenever it has ended, until the context does.
func keepIPMI(ctx context.Context, b Blade, d Dirs, self, line string, log *slog.Logger) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if records(d.procs()).alive(ipmiProcName(b.Name)) {
			continue
		}
		log.Warn("ipmi_sim has ended and is started again", "blade", b.Name)
		if err := startIPMI(ctx, b, d, self, line); err != nil {
			log.Error("start ipmi_sim", "blade", b.Name, "err", err)
		}
	}
}
