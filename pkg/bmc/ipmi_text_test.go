package bmc

import (
	"errors"
	"testing"

	provider "github.com/bmc-toolbox/bmclib/v2/bmc"
)

func TestParseBootFlags(t *testing.T) {
	for data, want := range map[string]provider.BootDeviceOverride{
		"0000000000": {Device: "none"},
		"8004000000": {Device: "pxe"},
		"e004000000": {Device: "pxe", IsPersistent: true, IsEFIBoot: true},
		"a008000000": {Device: "disk", IsEFIBoot: true},
		"8014000000": {Device: "cdrom"},
		"8018000000": {Device: "bios"},
		"803c000000": {Device: "other"},
	} {
		got, err := parseBootFlags("Boot parameter version: 1\nBoot parameter data: " + data + "\n Boot Flags :\n")
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", data, got, err, want)
		}
	}
	for _, text := range []string{"", "Boot parameter data: ", "Boot parameter data: zz", "Boot parameter data: 80"} {
		if _, err := parseBootFlags(text); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseFRU(t *testing.T) {
	fru := parseFRU("FRU Device Description : Builtin FRU Device (ID 0)\n Board Serial          : B-1\n Product Serial        : SER:1\n Product Serial        : other\n")
	if fru["Product Serial"] != "SER:1" || fru["Board Serial"] != "B-1" {
		t.Errorf("got %v", fru)
	}
}

func FuzzIPMIText(f *testing.F) {
	f.Add("Boot parameter data: 8004000000\n")
	f.Add(" Product Serial : x\nChassis Power is on\n")
	f.Fuzz(func(t *testing.T, text string) {
		if o, err := parseBootFlags(text); err == nil && o.Device == "" {
			t.Errorf("%q: no device and no error", text)
		}
		if s, err := parseChassisPower(text); err == nil && s != On && s != Off {
			t.Errorf("%q: state %q", text, s)
		}
		parseFRU(text)
	})
}

func TestPasswordFormsAreTakenOut(t *testing.T) {
	login := Credentials{User: "admin", Password: `p"a&s <s`}
	for _, form := range login.forms() {
		if got := clean(errors.New("x "+form+" y"), login).Error(); got != "x [redacted] y" {
			t.Errorf("%s is shown as %s", form, got)
		}
	}
	if text, err := login.MarshalText(); err == nil || text != nil {
		t.Error("credentials can be written")
	}
}

func TestWhatIpmitoolSays(t *testing.T) {
	for said, want := range map[string]*Error{
		"Authentication algorithm 0x01 is not what we requested 0x03\nError: Unable to establish IPMI v2 / RMCP+ session": {Kind: ErrUnsupported, Remedy: cipherRemedy},
		"Error in open session response message : no matching cipher suite\nError: Unable to establish IPMI v2 / RMCP+ session": {
			Kind: ErrUnsupported, Remedy: cipherRemedy},
		"Error in open session response message : unauthorized role requested": {Kind: ErrAuth},
		"Set Session Privilege Level to ADMINISTRATOR failed: Unknown (0x81)\nError: Unable to establish IPMI v2 / RMCP+ session": {
			Kind: ErrAuth, Remedy: privilegeRemedy},
		"RAKP 2 message indicates an error : invalid role\nError: Unable to establish IPMI v2 / RMCP+ session":                  {Kind: ErrAuth, Remedy: privilegeRemedy},
		"RAKP 4 message indicates an error : invalid integrity check value\nError: Unable to establish IPMI v2 / RMCP+ session": {Kind: ErrAuth, Remedy: keyRemedy},
		"> RAKP 4 message has invalid integrity check value\nError: Unable to establish IPMI v2 / RMCP+ session":                {Kind: ErrAuth, Remedy: keyRemedy},
		"This BMC does not support IPMI v2 / RMCP+\nError: Unable to establish IPMI v2 / RMCP+ session":                         {Kind: ErrUnsupported},
		"Error in open session response message : insufficient resources for session":                                           {Kind: ErrBusy},
		"Error: Unable to establish IPMI v2 / RMCP+ session":                                                                    {Kind: ErrUnreachable, Remedy: remedies[ErrUnreachable]},
		"Set Chassis Power Control to Up/On failed: Command not supported in present state":                                     {Kind: ErrBusy},
		"Get Chassis Power Status failed: BMC initialization in progress":                                                       {Kind: ErrBusy, Remedy: remedies[ErrBusy]},
		"Get HPM.x Capabilities request failed: Node busy":                                                                      {Kind: ErrBusy, Remedy: remedies[ErrBusy]},
		"Set Chassis Boot Parameter 4 failed: Parameter out of range":                                                           {Kind: ErrUnsupported, Remedy: remedies[ErrUnsupported]},
	} {
		got := ipmiFault(errors.New("ipmitool: exit status 1: " + said))
		if got.Kind != want.Kind || (want.Remedy != "" && got.Remedy != want.Remedy) {
			t.Errorf("%q: %v (%s), want %v (%s)", said, got.Kind, got.Remedy, want.Kind, want.Remedy)
		}
	}
}
