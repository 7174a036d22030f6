package profile

import (
	"sync"

	"github.com/clarketm/json"
	"github.com/coreos/ignition/v2/config/v3_3/types"

	"github.com/nuboctl/nuboctl/pkg/diag"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// OperatorPrincipal is the principal that a user certificate must name to log in as root.
const OperatorPrincipal = "nubo-operator"

// Source is a Butane file: its name as the inventory gives it, and its text. An empty text is a profile without one.
type Source struct {
	Name string
	Text []byte
}

// Input is all that a rendering depends on.
type Input struct {
	Desired *model.Desired
	// Node is one of Desired's nodes, with its addresses filled in (inventory.WithAddresses).
	Node model.Node
	// Butane is the text of the profile's Butane file.
	Butane Source
	// UserCAs are the public keys of the authorities whose certificates may log in, one per line of authorized_keys form.
	UserCAs []string
}

// Rendered is a node's host configuration.
type Rendered struct {
	// Ignition is the config in canonical JSON: the same input gives the same bytes.
	Ignition []byte
	// Digest is over Ignition: model.Node.Config.
	Digest model.Digest
	// Files are the paths of all files, and who asked for each.
	Files []File
	// Provenance leads from a path in the config ("storage.files.0.mode") back to the author's line. Paths that are missing are nuboctl's own.
	Provenance map[string]diag.Range
}

// File is one file of a host.
type File struct {
	Path string     `json:"path"`
	From diag.Range `json:"from,omitzero"` // zero: nuboctl itself
}

// Renderer renders many nodes; profiles whose text is the same for several nodes are translated once. It may be used concurrently.
type Renderer struct {
	mu    sync.Mutex
	cache map[string]*translated
}

// Render renders one node.
func Render(in Input) (Rendered, diag.List) { return new(Renderer).Render(in) }

// Render renders one node. With errors in the list the result must not be used.
func (r *Renderer) Render(in Input) (Rendered, diag.List) {
	author := r.translate(in.Butane)
	diags := append(diag.List(nil), author.diags...)
	if diags.HasErrors() {
		return Rendered{}, diags.Sorted()
	}
	author = author.fill(values(in))
	own, d := hostConfig(in)
	diags = append(diags, d...)
	diags = append(diags, conflicts(author, own)...)
	if diags.HasErrors() {
		return Rendered{}, diags.Sorted()
	}
	config := merge(author.config, own)
	out, err := json.Marshal(config)
	if err != nil {
		diags.Errorf(diag.Range{}, "report this as a fault of nuboctl", "config of node %s: %v", in.Node.Path, err)
		return Rendered{}, diags.Sorted()
	}
	return Rendered{Ignition: out, Digest: model.DigestBytes(out), Files: files(config, author), Provenance: author.provenance}, diags.Sorted()
}

func files(c types.Config, author *translated) []File {
	var out []File
	for i, f := range c.Storage.Files {
		file := File{Path: f.Path}
		if i < len(author.config.Storage.Files) {
			file.From = author.at("storage", "files", i, "path")
		}
		out = append(out, file)
	}
	return out
}
