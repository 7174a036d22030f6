package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// The stores that are used when there is no secrets block.
const (
	defaultAgeFile   = "secrets.age"
	defaultCleartext = "secrets.dev-cleartext.json"
	cleartextWord    = "dev-cleartext"
)

// SecretsSpec says where secrets are; it holds none.
type SecretsSpec struct {
	Age       string `json:"age,omitempty"`       // file relative to the inventory
	Identity  string `json:"identity,omitempty"`  // age identity file
	Cleartext string `json:"cleartext,omitempty"` // file relative to the inventory
}

// Resolver turns a reference into what a driver logs in with. Only drivers hold one.
type Resolver interface {
	// Resolve gives user and password. Its error names the reference and the store, never a value.
	Resolve(ref model.SecretRef) (user, password string, err error)
}

// credentials is one entry of a store.
type credentials struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

type resolver struct {
	store   string
	entries map[string]credentials
}

func (r *resolver) Resolve(ref model.SecretRef) (string, string, error) {
	c, ok := r.entries[string(ref)]
	if !ok {
		return "", "", fmt.Errorf("secret %q is not in %s: add {%q: {\"user\": …, \"password\": …}}", string(ref), r.store, string(ref))
	}
	return c.User, c.Password, nil
}

// OpenSecrets opens the store of an inventory. For an age file the identity is read from the spec's identity, else from identityFile.
func OpenSecrets(dir string, spec SecretsSpec, identityFile string) (Resolver, error) {
	switch {
	case spec.Age != "":
		return openAge(filepath.Join(dir, spec.Age), dir, spec.Identity, identityFile)
	case spec.Cleartext != "":
		name := filepath.Join(dir, spec.Cleartext)
		if !strings.Contains(filepath.Base(name), cleartextWord) {
			return nil, fmt.Errorf("secrets in clear text are read only from a file whose name contains %q, not from %s", cleartextWord, name)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("open the secret store: %w", err)
		}
		return parseSecrets(name, b)
	}
	return nil, fmt.Errorf("there is no secret store in %s: make %s with age (docs: operator's guide, secrets), or add a secrets block", dir, defaultAgeFile)
}

func openAge(name, dir, identity, fallback string) (Resolver, error) {
	if identity == "" {
		identity = fallback
	} else if rest, ok := strings.CutPrefix(identity, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", name, err)
		}
		identity = filepath.Join(home, rest)
	} else if !filepath.IsAbs(identity) {
		identity = filepath.Join(dir, identity)
	}
	if identity == "" {
		return nil, fmt.Errorf("%s is encrypted: name the age identity file in NUBO_AGE_IDENTITY or secrets { identity = … }", name)
	}
	keys, err := os.Open(identity)
	if err != nil {
		return nil, fmt.Errorf("open the age identity: %w", err)
	}
	defer keys.Close()
	ids, err := age.ParseIdentities(keys)
	if err != nil {
		return nil, fmt.Errorf("age identity file %s is not usable", identity) // the cause may quote a line of it
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("open the secret store: %w", err)
	}
	return decryptSecrets(name, b, ids)
}

func decryptSecrets(name string, b []byte, ids []age.Identity) (Resolver, error) {
	var in io.Reader = bytes.NewReader(b)
	if bytes.HasPrefix(b, []byte(armor.Header)) {
		in = armor.NewReader(in)
	}
	plain, err := age.Decrypt(in, ids...)
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: %w", name, err)
	}
	text, err := io.ReadAll(plain)
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: %w", name, err)
	}
	return parseSecrets(name, text)
}

// parseSecrets reads the JSON of a store. Errors carry no part of the text.
func parseSecrets(name string, text []byte) (*resolver, error) {
	r := &resolver{store: name}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r.entries); err != nil {
		var syntax *json.SyntaxError
		where := ""
		if errors.As(err, &syntax) {
			where = fmt.Sprintf(" (at byte %d)", syntax.Offset)
		}
		return nil, fmt.Errorf("%s is not of the form {\"NAME\": {\"user\": …, \"password\": …}}%s", name, where)
	}
	return r, nil
}

// secrets reads the secrets block, or finds the default store.
func (b *builder) secrets(objects []*object) {
	used := b.secretsUsed()
	if len(objects) == 0 {
		for _, name := range []string{defaultAgeFile, defaultCleartext} {
			if _, err := b.l.read(name); err == nil {
				delete(b.l.files, name) // never shown as a source, never digested
				if name == defaultAgeFile {
					b.inv.Secrets.Age = name
				} else {
					b.inv.Secrets.Cleartext = name
				}
				break
			}
		}
		if b.inv.Secrets == (SecretsSpec{}) && len(used) > 0 {
			first := used[0]
			b.warnf(first.at, "make "+defaultAgeFile+", or add: secrets { age = \"FILE\" }", "secret(%q) is used, but the inventory has no secret store yet", first.what)
		}
	} else {
		o := objects[0]
		b.note("secrets", o)
		b.inv.Secrets = SecretsSpec{Age: o.str("age"), Identity: o.str("identity"), Cleartext: o.str("cleartext")}
		b.checkStore(o)
	}
	b.checkCleartext(used)
}

func (b *builder) checkStore(o *object) {
	s := b.inv.Secrets
	switch {
	case s.Age != "" && s.Cleartext != "":
		b.errorf(o.where("cleartext"), "keep one", "two secret stores")
	case s.Age == "" && s.Cleartext == "":
		b.errorf(o.at(), "add: age = \"secrets.age\"", "the secrets block names no store")
	case s.Cleartext != "" && !strings.Contains(filepath.Base(s.Cleartext), cleartextWord):
		b.errorf(o.where("cleartext"), "name it "+defaultCleartext+", so that nobody takes it for anything else", "a clear-text file must have %q in its name", cleartextWord)
		b.inv.Secrets.Cleartext = ""
	}
	for attr, name := range map[string]string{"age": s.Age, "cleartext": s.Cleartext} {
		if name == "" {
			continue
		}
		if _, err := b.l.read(name); err != nil {
			b.warnf(o.where(attr), "make the file, or correct its name", "no BMC can be reached yet: %v", err)
		}
		delete(b.l.files, filepath.ToSlash(filepath.Clean(name))) // never shown as a source, never digested
	}
}

// checkCleartext warns, and finds names that are missing: with a clear-text store that is possible without a key.
func (b *builder) checkCleartext(used []owner) {
	name := b.inv.Secrets.Cleartext
	if name == "" {
		return
	}
	text, err := b.l.readFile(filepath.ToSlash(filepath.Clean(name)))
	if err != nil {
		return
	}
	at := b.inv.Provenance["secrets"]
	b.warnf(at, "use age for anything but a lab", "passwords are in clear text in %s", name)
	r, err := parseSecrets(name, text)
	if err != nil {
		b.errorf(at, "correct the file", "%v", err)
		return
	}
	for _, u := range used {
		if _, _, err := r.Resolve(model.SecretRef(u.what)); err != nil {
			b.errorf(u.at, "add it to "+name, "there is no secret %q in %s", u.what, name)
		}
	}
}

// secretsUsed are the references in use, each once, with one place where it is.
func (b *builder) secretsUsed() []owner {
	var out []owner
	seen := map[model.SecretRef]bool{}
	for i := range b.d.Nodes {
		ref := b.d.Nodes[i].BMC.Credentials
		if ref == "" || seen[ref] {
			continue
		}
		seen[ref] = true
		at := b.nodes[b.d.Nodes[i].Path]
		for at != nil && (at.first("bmc") == nil || !at.first("bmc").written("credentials")) {
			at = at.parent
		}
		if at != nil {
			out = append(out, owner{string(ref), at.first("bmc").where("credentials")})
		}
	}
	for _, u := range b.stateSecrets() {
		if !seen[model.SecretRef(u.what)] {
			seen[model.SecretRef(u.what)] = true
			out = append(out, u)
		}
	}
	return out
}
