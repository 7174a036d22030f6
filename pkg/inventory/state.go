package inventory

import (
	"net/url"
	"regexp"
	"time"

	"filippo.io/age"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// StateSpec says where the state is kept. Its zero value is the embedded store beside the inventory.
type StateSpec struct {
	Etcd     *EtcdSpec
	Replicas *ReplicaSpec
}

// ReplicaSpec asks for encrypted copies of state and keys on hosts.
type ReplicaSpec struct {
	Recipients []string // age public keys
	Copies     int
}

// EtcdSpec is a shared store in etcd; it holds nothing secret.
type EtcdSpec struct {
	Endpoints   []string
	Prefix      string // empty: "/nubo/CLOUD"
	CA, Cert    string // PEM
	Key         model.SecretRef
	Credentials model.SecretRef
	TTL         time.Duration // 0: the driver's default
}

var stateSpec = &blockSpec{typ: "state", single: true, fixed: true, doc: "Where the state is kept. Default: the directory .nubo beside the inventory, for one workstation at a time.",
	blocks: blocks(&blockSpec{typ: "replicas", single: true, fixed: true, doc: "Copies of the state and of this cloud's keys on hosts, encrypted to the operators, written when an apply ends.", attrs: map[string]attrSpec{
		"recipients": req(kStrings, "age public keys: age1…; who has one of their identities owns the cloud"),
		"copies":     opt(kInt, "on how many hosts; default 3"),
	}}, &blockSpec{typ: "etcd", single: true, fixed: true, doc: "A store in etcd 3.4 or newer that several workstations share.", attrs: map[string]attrSpec{
		"endpoints":   req(kStrings, "URLs of its members: https://HOST:2379"),
		"prefix":      opt(kString, `put before every key; default: nubo, then the cloud's name`),
		"ca":          opt(kString, "PEM of the authority that signed the members' certificates: file(\"etcd-ca.pem\"); needed with https"),
		"cert":        opt(kString, "PEM of the certificate that this client shows: file(\"etcd-client.pem\")"),
		"key":         opt(kSecret, "secret(\"NAME\") whose password is the PEM of that certificate's key"),
		"credentials": opt(kSecret, "secret(\"NAME\"): user and password, where authentication is on"),
		"ttl":         opt(kString, `how long a lease outlives its holder's last sign of life; default "2m"`),
		"insecure":    opt(kBool, "true: http is allowed, loudly"),
	}})}

var prefixPattern = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)

// state reads the state block.
func (b *builder) state(objects []*object) {
	if len(objects) == 0 {
		return
	}
	b.note("state", objects[0])
	o := objects[0].first("etcd")
	b.replicas(objects[0].first("replicas"))
	if o == nil {
		if objects[0].first("replicas") == nil {
			b.errorf(objects[0].at(), "add: etcd { endpoints = [\"https://HOST:2379\"] … }, or remove the state block", "the state block names no store")
		}
		return
	}
	s := &EtcdSpec{Endpoints: o.strs("endpoints"), Prefix: o.str("prefix"), CA: o.str("ca"), Cert: o.str("cert"), Key: o.secret("key"), Credentials: o.secret("credentials")}
	b.inv.State.Etcd = s
	if s.Prefix == "" {
		s.Prefix = "/nubo/" + b.d.Cloud.Name
	} else if !prefixPattern.MatchString(s.Prefix) {
		b.errorf(o.where("prefix"), `write it as a path: "/nubo/demo"`, "%q is no prefix of keys", s.Prefix)
	}
	b.checkEndpoints(o, s)
	if o.has("ttl") {
		var err error
		if s.TTL, err = time.ParseDuration(o.str("ttl")); err != nil || s.TTL < 10*time.Second || s.TTL > time.Hour {
			b.errorf(o.where("ttl"), `write between "10s" and "1h"`, "a lease of %q", o.str("ttl"))
		}
	}
	if (s.Cert == "") != (s.Key == "") {
		b.errorf(o.at(), `give both: cert = file("etcd-client.pem") and key = secret("NAME")`, "a certificate and its key belong together")
	}
}

// replicas reads the block of that name.
func (b *builder) replicas(o *object) {
	if o == nil {
		return
	}
	r := &ReplicaSpec{Recipients: o.strs("recipients"), Copies: 3}
	if o.has("copies") {
		r.Copies = o.num("copies")
	}
	b.inv.State.Replicas = r
	if r.Copies < 1 || r.Copies > 9 {
		b.errorf(o.where("copies"), "write a number from 1 to 9", "%d copies of the state", r.Copies)
	}
	if o.has("recipients") && len(r.Recipients) == 0 {
		b.errorf(o.where("recipients"), "name at least one age public key", "copies of the state that nobody can open")
	}
	for i, key := range r.Recipients {
		if _, err := age.ParseX25519Recipient(key); err != nil {
			b.errorf(o.whereElement("recipients", i), "write what age-keygen prints as the public key: age1…", "%q is no age public key", key)
		}
	}
}

func (b *builder) checkEndpoints(o *object, s *EtcdSpec) {
	if o.has("endpoints") && len(s.Endpoints) == 0 {
		b.errorf(o.where("endpoints"), "name at least one member", "the store in etcd has no endpoints")
	}
	for i, e := range s.Endpoints {
		at := o.whereElement("endpoints", i)
		u, err := url.Parse(e)
		switch {
		case err != nil || u.Host == "" || u.Port() == "" || (u.Path != "" && u.Path != "/") || (u.Scheme != "https" && u.Scheme != "http"):
			b.errorf(at, "write it as https://HOST:2379", "%q is no address of an etcd member", e)
		case u.User != nil:
			b.l.diags.Sensitivef(at, `remove it, and write credentials = secret("NAME")`, "an endpoint of etcd holds a user name or password")
		case u.Scheme == "http" && !o.flag("insecure"):
			b.errorf(at, "use https and ca, or, where nobody else can reach that network: insecure = true", "%s is not encrypted: who can read the state, or write it, is anybody on the network", e)
		case u.Scheme == "http":
			b.warnf(at, "use https for anything but a lab", "%s is not encrypted", e)
		case s.CA == "":
			b.errorf(o.at(), `add: ca = file("etcd-ca.pem")`, "%s cannot be verified without the certificate of its authority", e)
		}
	}
}

// stateSecrets are the references of the state block, each with its place.
func (b *builder) stateSecrets() []owner {
	var out []owner
	s := b.inv.State.Etcd
	if s == nil {
		return nil
	}
	o := b.inv.objects["state"].first("etcd")
	for attr, ref := range map[string]model.SecretRef{"key": s.Key, "credentials": s.Credentials} {
		if ref != "" {
			out = append(out, owner{string(ref), o.where(attr)})
		}
	}
	return out
}
