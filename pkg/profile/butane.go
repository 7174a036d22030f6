package profile

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"

	"github.com/coreos/butane/config/common"
	fcos "github.com/coreos/butane/config/fcos/v1_4"
	"github.com/coreos/butane/translate"
	"github.com/coreos/ignition/v2/config/v3_3/types"
	ignvalidate "github.com/coreos/ignition/v2/config/validate"
	"github.com/coreos/vcontext/path"
	"github.com/coreos/vcontext/report"
	"github.com/coreos/vcontext/tree"
	"github.com/coreos/vcontext/validate"
	vyaml "github.com/coreos/vcontext/yaml"
	"gopkg.in/yaml.v3"

	"github.com/nuboctl/nuboctl/pkg/diag"
)

// The dialect of Butane that is read. Its Ignition spec, 3.3.0, is the one that Debian 12's and 13's Ignition speak.
const (
	variant = "fcos"
	version = "1.4.0"
)

// translated is an author's file as an Ignition config, with the way back.
type translated struct {
	source     Source
	config     types.Config
	sets       translate.TranslationSet
	context    tree.Node
	provenance map[string]diag.Range
	diags      diag.List
	filled     bool // holds tokens
}

// translate reads a Butane file, or takes it from the cache.
func (r *Renderer) translate(src Source) *translated {
	key := src.Name + "\x00" + string(src.Text)
	r.mu.Lock()
	t, ok := r.cache[key]
	r.mu.Unlock()
	if ok {
		return t
	}
	t = translateText(src)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cache == nil || len(r.cache) > 1000 {
		r.cache = map[string]*translated{}
	}
	r.cache[key] = t
	return t
}

// translateText reads a file whose values are still tokens.
func translateText(src Source) *translated {
	t := &translated{source: src, provenance: map[string]diag.Range{}, config: types.Config{Ignition: types.Ignition{Version: types.MaxVersion.String()}}}
	text, diags := expand(src)
	if t.diags = diags; diags.HasErrors() {
		return t
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return t
	}
	var in fcos.Config
	if !t.unmarshal(text, &in) {
		return t
	}
	t.refuse(in)
	opts := common.TranslateOptions{NoResourceAutoCompression: true}
	if _, rep, err := in.ToIgn3_3(opts); err != nil || len(rep.Entries) > 0 {
		t.report(rep, err)
	}
	if t.diags.HasErrors() {
		return t
	}
	t.config, t.sets, _ = in.ToIgn3_3Unvalidated(opts)
	if t.filled = bytes.Contains(text, []byte(tokenPrefix)); t.filled {
		t.plainContents()
	}
	for _, tr := range t.sets.Set {
		t.provenance[strings.TrimPrefix(tr.To.String(), "$.")] = t.node(tr.From)
	}
	return t
}

// unmarshal reads the YAML, insists on the dialect, and reports every key that nothing reads.
func (t *translated) unmarshal(text []byte, in *fcos.Config) bool {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(in); err != nil {
		t.yamlError(err)
		return false
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		t.diags.Errorf(lineRange(t.source, 1), "keep one", "the file holds more than one document")
		return false
	}
	context, err := vyaml.UnmarshalToContext(text)
	if err != nil {
		t.yamlError(err)
		return false
	}
	t.context = context
	if in.Variant != variant || in.Version != version {
		t.diags.Errorf(t.node(path.New("yaml", "version")), "write: variant: "+variant+", version: "+version, "Butane variant %q, version %q is not read", in.Variant, in.Version)
		return false
	}
	rep := validate.ValidateCustom(in, "yaml", func(v reflect.Value, c path.ContextPath) report.Report {
		return ignvalidate.ValidateUnusedKeys(v, c, context)
	})
	for _, e := range rep.Entries {
		t.diags.Errorf(t.node(e.Context), "correct its name, or remove it", "%s: %s", strings.TrimPrefix(e.Context.String(), "$."), strings.Replace(e.Message, "unused key", "unknown key", 1))
	}
	return true
}

func (t *translated) yamlError(err error) {
	var te *yaml.TypeError
	if errors.As(err, &te) {
		for _, m := range te.Errors {
			t.diags.Errorf(lineRange(t.source, yamlLine(m)), "give a value of the right type", "%s", m)
		}
		return
	}
	t.diags.Errorf(lineRange(t.source, yamlLine(err.Error())), "correct the YAML there or in the line above", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
}

// report turns Butane's report into diagnostics; what it warns of is as wrong for us as an error.
func (t *translated) report(rep report.Report, err error) {
	for _, e := range rep.Entries {
		if e.Kind.String() == "info" {
			continue
		}
		t.diags.Errorf(t.node(e.Context), "correct the value; https://coreos.github.io/butane/config-fcos-v1_4/ says what may stand there", "%s: %s", strings.TrimPrefix(e.Context.String(), "$."), e.Message)
	}
	if err != nil && !t.diags.HasErrors() {
		t.diags.Errorf(lineRange(t.source, 1), "correct the file", "Butane: %v", err)
	}
}

// node is where something of the YAML was written: a key with its value's line, or the nearest thing around it.
func (t *translated) node(p path.ContextPath) diag.Range {
	if t.context == nil {
		return lineRange(t.source, 1)
	}
	for ; ; p = p.Pop() {
		if p.Len() > 0 {
			if key, ok := p.Path[p.Len()-1].(string); ok {
				if n, err := t.context.Get(p.Pop().Append(tree.Key(key))); err == nil {
					return t.mark(n)
				}
			}
		}
		if n, err := t.context.Get(p); err == nil {
			return t.mark(n)
		}
		if p.Len() == 0 {
			return lineRange(t.source, 1)
		}
	}
}

func (t *translated) mark(n tree.Node) diag.Range {
	line, column := n.Start()
	return placeOf(t.source, int(line), int(column))
}

// at is where the author wrote what became this path of the config.
func (t *translated) at(p ...any) diag.Range {
	for to := path.New("json", p...); to.Len() > 0; to = to.Pop() {
		if tr, ok := t.sets.Set[to.String()]; ok {
			return t.node(tr.From)
		}
	}
	return lineRange(t.source, 1)
}

// yamlAt is where a path of the YAML was written.
func (t *translated) yamlAt(p ...any) diag.Range { return t.node(path.New("yaml", p...)) }
