package main

import (
	"fmt"
	"strings"

	"aead.dev/minisign"
	"github.com/rogpeppe/go-internal/testscript"
)

// signedBy INVENTORY PUBLIC… has the rollout block of an inventory ask for signatures of the keys in these files.
func signedBy(ts *testscript.TestScript, _ bool, args []string) {
	var keys []string
	for _, name := range args[1:] {
		key, err := minisign.PublicKeyFromFile(ts.MkAbs(name))
		ts.Check(err)
		keys = append(keys, fmt.Sprintf("%q", key))
	}
	replace(ts, false, []string{args[0], "rollout {", "rollout {\n  signed_by = [" + strings.Join(keys, ", ") + "]"})
}

// publicKey FILE NAME puts the key of a public key file into a variable.
func publicKey(ts *testscript.TestScript, _ bool, args []string) {
	key, err := minisign.PublicKeyFromFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Setenv(args[1], key.String())
}
