package bmc

import (
	"errors"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Address
	}{
		{"redfish://bmc-1.lab/redfish/v1/Systems/1", Address{Protocol: Redfish, Host: "bmc-1.lab", Port: "443", System: "/redfish/v1/Systems/1"}},
		{"redfish+https://bmc-1.lab:8443/redfish/v1/Systems/1/", Address{Protocol: Redfish, Host: "bmc-1.lab", Port: "8443", System: "/redfish/v1/Systems/1"}},
		{"redfish://192.0.2.1/", Address{Protocol: Redfish, Host: "192.0.2.1", Port: "443"}},
		{"redfish://192.0.2.1/redfish/v1/", Address{Protocol: Redfish, Host: "192.0.2.1", Port: "443"}},
		{"redfish://192.0.2.1/redfish/v1/Systems", Address{Protocol: Redfish, Host: "192.0.2.1", Port: "443"}},
		{"redfish://192.0.2.1", Address{Protocol: Redfish, Host: "192.0.2.1", Port: "443"}},
		{"redfish+http://192.0.2.1", Address{Protocol: Redfish, Host: "192.0.2.1", Port: "80", Plain: true}},
		{"idrac-redfish://192.0.2.1/redfish/v1/Systems/System.Embedded.1", Address{Protocol: Redfish, Host: "192.0.2.1", Port: "443", System: "/redfish/v1/Systems/System.Embedded.1"}},
		{"idrac-virtualmedia+https://192.0.2.1", Address{Protocol: Redfish, Host: "192.0.2.1", Port: "443"}},
		{"ilo5-redfish://192.0.2.1", Address{Protocol: Redfish, Host: "192.0.2.1", Port: "443"}},
		{"redfish://[2001:db8::1]:8443", Address{Protocol: Redfish, Host: "2001:db8::1", Port: "8443"}},
		{"ipmi://192.0.2.1", Address{Protocol: IPMI, Host: "192.0.2.1", Port: "623", CipherSuite: 17}},
		{"ipmi://[2001:db8::1]", Address{Protocol: IPMI, Host: "2001:db8::1", Port: "623", CipherSuite: 17}},
		{"ipmi://192.0.2.1:1623?ciphersuite=3", Address{Protocol: IPMI, Host: "192.0.2.1", Port: "1623", CipherSuite: 3}},
		{"ipmi://192.0.2.1?privilegelevel=administrator", Address{Protocol: IPMI, Host: "192.0.2.1", Port: "623", CipherSuite: 17}},
		{"192.0.2.1:1623", Address{Protocol: IPMI, Host: "192.0.2.1", Port: "1623", CipherSuite: 17}},
		{"bmc-1.lab", Address{Protocol: IPMI, Host: "bmc-1.lab", Port: "623", CipherSuite: 17}},
	} {
		got, err := ParseAddress(c.in)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.in, got, err, c.want)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, in := range []string{
		"", "redfish://", "https://192.0.2.1", "irmc://192.0.2.1", "ilo4://192.0.2.1", "libvirt://192.0.2.1", "redfish://bad_host",
		"redfish://192.0.2.1/Systems/1", "redfish://192.0.2.1?x=1", "redfish://192.0.2.1#x", "redfish://u:p@192.0.2.1",
		"ipmi://192.0.2.1/path", "ipmi://192.0.2.1?ciphersuite=0", "ipmi://192.0.2.1?privilegelevel=USER", "ipmi://192.0.2.1?x=1", "redfish://192.0.2.1:70000", "ipmi://192.0.2.1:0",
	} {
		if a, err := ParseAddress(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %+v, %v, want %v", in, a, err, ErrInvalid)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"redfish+https://h:1/redfish/v1/Systems/1", "ipmi://[::1]:623?ciphersuite=3", "h:1", "redfish://u:p@h", "%", "ipmi:h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		a, err := ParseAddress(in)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v is no ErrInvalid", in, err)
			}
			return
		}
		if a.Host == "" || a.Port == "" || strings.Contains(a.String(), "@") {
			t.Errorf("%q: %+v", in, a)
		}
		if again, err := ParseAddress(a.String()); err != nil || again.HostPort() != a.HostPort() || again.System != a.System {
			t.Errorf("%q is %+v, and read again %+v, %v", in, a, again, err)
		}
	})
}
