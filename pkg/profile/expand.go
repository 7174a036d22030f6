package profile

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/nuboctl/nuboctl/pkg/diag"
)

// Values are what a Butane file may refer to as {{ .NAME }}. All are single words or empty.
type Values struct {
	Hostname string // short name
	FQDN     string // with the cloud's domain
	Domain   string
	Cloud    string
	Path     string // site/region/zone/rack/…
	Site     string
	Region   string
	Zone     string
	Rack     string
	Chassis  string
	Profile  string
	Image    string
	Address  string // of the first card, without prefix length
	Gateway  string // of its network
	Serial   string
}

// values are those of a node.
func values(in Input) Values {
	n := in.Node
	v := Values{Hostname: n.Name, FQDN: fqdn(in), Domain: in.Desired.Cloud.Domain, Cloud: in.Desired.Cloud.Name, Path: string(n.Path), Site: n.Path.Site().Name(),
		Region: n.Path.Region().Name(), Zone: n.Path.Zone().Name(), Rack: n.Path.Rack().Name(), Chassis: n.Chassis.Name(), Profile: n.Profile, Image: n.Image.Name,
		Serial: n.Serial}
	if len(n.NICs) > 0 {
		if a := n.NICs[0].Address; a.IsValid() {
			v.Address = a.Addr().String()
		}
		if net := network(in.Desired, n.NICs[0].Network); net != nil && net.Gateway.IsValid() {
			v.Gateway = net.Gateway.String()
		}
	}
	return v
}

func fqdn(in Input) string {
	if in.Desired.Cloud.Domain == "" {
		return in.Node.Name
	}
	return in.Node.Name + "." + in.Desired.Cloud.Domain
}

// tokens stand for the values while Butane is translated: letters and digits, which no encoding changes. So a file is translated once, however
// many nodes it serves, and a value can never be read as YAML.
var tokens = func() Values {
	var v Values
	for i := range reflect.TypeOf(v).NumField() {
		reflect.ValueOf(&v).Elem().Field(i).SetString(fmt.Sprintf("nuboQvalue%02dQobun", i))
	}
	return v
}()

// tokenPrefix begins every token.
const tokenPrefix = "nuboQvalue"

// filler replaces tokens by a node's values.
func filler(v Values, escape func(string) string) *strings.Replacer {
	from, to := reflect.ValueOf(tokens), reflect.ValueOf(v)
	var pairs []string
	for i := range from.NumField() {
		pairs = append(pairs, from.Field(i).String(), escape(to.Field(i).String()))
	}
	return strings.NewReplacer(pairs...)
}

// expand puts tokens where {{ .NAME }} stands. Nothing else of Go's templates is accepted: lines stay lines, so that every message can point at
// the author's.
func expand(s Source) ([]byte, diag.List) {
	var diags diag.List
	const remedy = `write {{ .Hostname }} or another value by name; {{ "{{" }} gives the braces themselves`
	if bytes.Contains(s.Text, []byte(tokenPrefix)) {
		diags.Errorf(byteRange(s, bytes.Index(s.Text, []byte(tokenPrefix))), "use another word", "%q is nuboctl's own word", tokenPrefix)
		return nil, diags
	}
	if !bytes.Contains(s.Text, []byte("{{")) {
		return s.Text, nil
	}
	t, err := template.New(s.Name).Option("missingkey=error").Parse(string(s.Text))
	if err != nil {
		diags.Errorf(lineRange(s, lineOf(err.Error(), s.Name)), remedy, "template: %s", afterName(err.Error(), s.Name))
		return nil, diags
	}
	vs := reflect.ValueOf(tokens)
	var out bytes.Buffer
	for _, node := range t.Root.Nodes {
		text, problem := expandNode(node, vs)
		if problem != "" {
			diags.Errorf(byteRange(s, int(node.Position())), remedy, "template: %s", problem)
		}
		out.WriteString(text)
	}
	return out.Bytes(), diags
}

func expandNode(node parse.Node, vs reflect.Value) (text, problem string) {
	switch n := node.(type) {
	case *parse.TextNode:
		return string(n.Text), ""
	case *parse.ActionNode:
		if len(n.Pipe.Decl) > 0 || len(n.Pipe.Cmds) != 1 || len(n.Pipe.Cmds[0].Args) != 1 {
			break
		}
		switch arg := n.Pipe.Cmds[0].Args[0].(type) {
		case *parse.StringNode:
			return arg.Text, ""
		case *parse.FieldNode:
			f := vs.FieldByName(arg.Ident[0])
			if len(arg.Ident) != 1 || !f.IsValid() {
				return "", fmt.Sprintf("there is no value %s; there are %s", arg, strings.Join(valueNames(), ", "))
			}
			return f.String(), ""
		}
	}
	return "", fmt.Sprintf("%s is more than a value", node)
}

func valueNames() []string {
	t := reflect.TypeFor[Values]()
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = "." + t.Field(i).Name
	}
	return names
}
