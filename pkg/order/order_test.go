package order_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/order"
)

// What relay and agent say to each other is fixed by version 1: an agent in an old ramdisk meets a new relay.
func TestForms(t *testing.T) {
	golden(t, "order-v1.json", good())
	for name, r := range reports() {
		golden(t, "report-"+name+"-v1.json", r)
	}
	golden(t, "consume-v1.json", order.Consume{Nonce: nonce, Serial: "S1", Boot: "boot-1", DiskNonce: nonce})
	golden(t, "consumed-v1.json", order.Consumed{Attempt: 2})
	golden(t, "signed-v1.json", order.Signed{Payload: []byte("{}"), Signature: "untrusted comment: …"})
}

func keys(t testing.TB) (minisign.PublicKey, minisign.PrivateKey) {
	t.Helper()
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pub, key
}

func TestSignThenOpen(t *testing.T) {
	pub, key := keys(t)
	other, _ := keys(t)
	signed, err := order.Sign(good(), key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := order.Open(signed, other, pub)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(good(), got); diff != "" {
		t.Error(diff)
	}
	for name, trusted := range map[string][]minisign.PublicKey{"another key": {other}, "no key": nil} {
		if _, err := order.Open(signed, trusted...); !errors.Is(err, order.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every flipped bit is found, of the payload and of the signature, before anything is parsed.
func TestFlippedBits(t *testing.T) {
	pub, key := keys(t)
	signed, err := order.Sign(good(), key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range signed.Payload {
		bad := signed
		bad.Payload = bytes.Clone(signed.Payload)
		bad.Payload[i] ^= 1
		if _, err := order.Open(bad, pub); !errors.Is(err, order.ErrSignature) {
			t.Fatalf("byte %d of the payload: %v", i, err)
		}
	}
	lines := strings.SplitAfter(signed.Signature, "\n")
	for _, line := range []int{1, 2, 3} { // the first is an untrusted comment
		bad := append([]string(nil), lines...)
		b := []byte(bad[line])
		b[len(b)/2] ^= 1
		bad[line] = string(b)
		if _, err := order.Open(order.Signed{Payload: signed.Payload, Signature: strings.Join(bad, "")}, pub); !errors.Is(err, order.ErrSignature) {
			t.Errorf("line %d of the signature: %v", line+1, err)
		}
	}
}

// A payload that would not parse is refused for its signature when that is wrong: nothing looked into it.
func TestNothingIsParsedBeforeItIsVerified(t *testing.T) {
	pub, key := keys(t)
	_, foreign := keys(t)
	rubbish := []byte("{ not an order")
	if _, err := order.Open(order.Signed{Payload: rubbish, Signature: string(minisign.Sign(foreign, rubbish))}, pub); !errors.Is(err, order.ErrSignature) || errors.Is(err, order.ErrMalformed) {
		t.Errorf("signed by a foreign key: %v", err)
	}
	if _, err := order.Open(order.Signed{Payload: rubbish, Signature: string(minisign.Sign(key, rubbish))}, pub); !errors.Is(err, order.ErrMalformed) {
		t.Errorf("signed by the right key: %v", err)
	}
}

func TestSignRefusesWhatOpenWould(t *testing.T) {
	_, key := keys(t)
	o := good()
	o.Nonce = "short"
	if _, err := order.Sign(o, key); !errors.Is(err, order.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func TestValidate(t *testing.T) {
	for name, edit := range map[string]func(*order.Order){
		"format_version": func(o *order.Order) { o.FormatVersion = 2 },
		"goal":           func(o *order.Order) { o.Goal = "wipe" },
		"id":             func(o *order.Order) { o.ID = "" },
		"hostname":       func(o *order.Order) { o.Hostname = "" },
		"node":           func(o *order.Order) { o.Node = "" },
		"nonce":          func(o *order.Order) { o.Nonce = strings.Repeat("x", 32) },
		"MAC":            func(o *order.Order) { o.Machine.MACs = nil },
		"image":          func(o *order.Order) { o.Image.Digest = "sha256:12" },
		"spec":           func(o *order.Order) { o.Spec = "" },
		"expires":        func(o *order.Order) { o.ExpiresAt = o.IssuedAt },
		"max_attempts":   func(o *order.Order) { o.MaxAttempts = 0 },
		"root disk": func(o *order.Order) {
			o.Disks.Root.Serial, o.Disks.Root.MinSizeGiB, o.Disks.Root.Rotational = "", 0, nil
		},
	} {
		o := good()
		edit(&o)
		if err := o.Validate(); !errors.Is(err, order.ErrMalformed) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := good().Validate(); err != nil {
		t.Error(err)
	}
}

func TestParseRefuses(t *testing.T) {
	text, err := json.Marshal(good())
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"an unknown field": strings.Replace(string(text), `"goal"`, `"extra":1,"goal"`, 1),
		"a second value":   string(text) + `{}`,
		"a stray brace":    string(text) + `}`,
		"a stray bracket":  string(text) + `]`,
		"nothing":          "",
	} {
		if _, err := order.Parse([]byte(bad)); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := order.Parse(append(text, "\n "...)); err != nil {
		t.Errorf("white space behind it: %v", err)
	}
}

func TestChecks(t *testing.T) {
	o := good()
	if o.CheckTime(t0.Add(4*time.Hour)) != nil || !errors.Is(o.CheckTime(t0.Add(4*time.Hour+1)), order.ErrExpired) {
		t.Error("the time of expiry")
	}
	for _, tc := range []struct {
		name, serial string
		macs         []string
		ok           bool
	}{
		{"itself", "S1", []string{"52:54:00:77:00:02"}, true},
		{"another serial number", "S2", []string{"52:54:00:77:00:02"}, false},
		{"another card", "S1", []string{"52:54:00:99:00:02"}, false},
		{"no card", "S1", nil, false},
	} {
		if err := o.CheckMachine(tc.serial, tc.macs); (err == nil) != tc.ok || (err != nil && !errors.Is(err, order.ErrMachine)) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if o.Machine.Serial = ""; o.CheckMachine("any", o.Machine.MACs) != nil {
		t.Error("a serial number that is not named is compared")
	}
}

func TestNoncesDiffer(t *testing.T) {
	a, err1 := order.NewNonce()
	b, err2 := order.NewNonce()
	if err := errors.Join(err1, err2); err != nil || a == b || len(a) != 32 {
		t.Error(a, b, err)
	}
}

func FuzzOpen(f *testing.F) {
	pub, key := keys(f)
	signed, err := order.Sign(good(), key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed.Payload, signed.Signature)
	f.Add([]byte("{}"), signed.Signature)
	f.Add(signed.Payload, "")
	f.Add(signed.Payload, "untrusted comment: x\n\ntrusted comment: y\n")
	f.Fuzz(func(t *testing.T, payload []byte, signature string) {
		if _, err := order.Open(order.Signed{Payload: payload, Signature: signature}, pub); err == nil && !bytes.Equal(payload, signed.Payload) {
			t.Fatalf("a forged order was opened: %q", payload)
		}
	})
}

func FuzzParse(f *testing.F) {
	text, err := json.Marshal(good())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format_version":1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		o, err := order.Parse(payload)
		if err != nil {
			if !errors.Is(err, order.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if q, err := order.Parse(again); err != nil || cmp.Diff(o, q) != "" {
			t.Fatalf("an order changed on its way through its form: %v", err)
		}
	})
}
