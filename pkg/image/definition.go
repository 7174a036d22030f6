package image

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"

	"github.com/nuboctl/nuboctl/pkg/image/manifest"
	"github.com/nuboctl/nuboctl/pkg/model"
)

// builderVersion is part of every image's inputs: raise it when this package changes what it makes from the same definition.
const builderVersion = 1

// Definition is what an image is made from, read from NAME/image.hcl with everything that it refers to.
type Definition struct {
	Name         string            `json:"name"`
	Kind         manifest.Kind     `json:"kind"`
	Release      string            `json:"release"` // Debian's code name
	Architecture string            `json:"architecture"`
	Epoch        int64             `json:"epoch"` // newest time stamp of a file, seconds since 1970
	Components   []string          `json:"components"`
	Packages     []string          `json:"packages"`
	Exclude      []string          `json:"exclude"` // path globs that dpkg does not unpack
	Include      []string          `json:"include"` // exceptions from Exclude
	Enable       []string          `json:"enable"`  // systemd units; all others are disabled
	Users        map[string]string `json:"users"`   // name: passwd(5) from the third field on
	Groups       map[string]int    `json:"groups"`
	Modules      []string          `json:"modules"`           // kernel modules of the initramfs
	Keep         []string          `json:"keep"`              // ramdisk, guest: paths that stay; empty keeps all
	Remove       []string          `json:"remove"`            // path globs
	Compile      []string          `json:"compile,omitempty"` // root: folders whose Python modules come compiled
	Files        []OverlayFile     `json:"files"`             // sorted by path
}

// OverlayFile is one file that the definition itself lays down, owned by root.
type OverlayFile struct {
	Path    string `json:"path"`
	Mode    int64  `json:"mode"`
	Content string `json:"content"`
}

// Digest changes whenever the definition, a file it refers to, or the way of building changes.
func (d Definition) Digest() model.Digest {
	return model.DigestJSON(struct {
		Builder    int
		Definition Definition
	}{builderVersion, d})
}

// Definitions lists the names of the images defined in a folder such as images.FS, sorted.
func Definitions(fsys fs.FS) ([]string, error) {
	found, err := fs.Glob(fsys, "*/image.hcl")
	if err != nil {
		return nil, fmt.Errorf("image definitions: %w", err)
	}
	for i, f := range found {
		found[i] = path.Dir(f)
	}
	return found, nil
}

// fileSchema is an image.hcl.
type fileSchema struct {
	Image imageSchema `hcl:"image,block"`
}

type imageSchema struct {
	Like         string            `hcl:"like,optional"`    // another image: its values where this one says nothing, its lists added to
	Without      []string          `hcl:"without,optional"` // packages of Like that this one has not
	Kind         string            `hcl:"kind,optional"`
	Release      string            `hcl:"release,optional"`
	Architecture string            `hcl:"architecture,optional"`
	Epoch        string            `hcl:"epoch,optional"`
	Components   []string          `hcl:"components,optional"`
	Packages     []string          `hcl:"packages,optional"`
	Exclude      []string          `hcl:"exclude,optional"`
	Include      []string          `hcl:"include,optional"`
	Enable       []string          `hcl:"enable,optional"`
	Users        map[string]string `hcl:"users,optional"`
	Groups       map[string]int    `hcl:"groups,optional"`
	Modules      []string          `hcl:"modules,optional"` // names of lists: modules/NAME.list
	Keep         []string          `hcl:"keep,optional"`
	Remove       []string          `hcl:"remove,optional"`
	Compile      []string          `hcl:"compile,optional"`
	Files        []overlaySchema   `hcl:"file,block"`
}

type overlaySchema struct {
	Path   string `hcl:"path,label"`
	Source string `hcl:"source"` // a file of the definitions' folder
	Mode   string `hcl:"mode,optional"`
}

// Load reads one definition. Errors carry file and line.
func Load(fsys fs.FS, name string) (Definition, error) {
	if !manifest.ValidName(name) {
		return Definition{}, fmt.Errorf("image %q: not a name of an image", name)
	}
	raw, err := load(fsys, name, 0)
	if err != nil {
		return Definition{}, err
	}
	d, err := raw.definition(fsys, name)
	if err != nil {
		return Definition{}, fmt.Errorf("image %s: %w", name, err)
	}
	return d, d.validate()
}

func load(fsys fs.FS, name string, depth int) (imageSchema, error) {
	var file fileSchema
	at := path.Join(name, "image.hcl")
	source, err := fs.ReadFile(fsys, at)
	if err != nil {
		names, _ := Definitions(fsys)
		return file.Image, fmt.Errorf("no image %q is defined: %w; there are %s", name, err, strings.Join(names, ", "))
	}
	parsed, diags := hclparse.NewParser().ParseHCL(source, at)
	if !diags.HasErrors() {
		diags = append(diags, gohcl.DecodeBody(parsed.Body, &hcl.EvalContext{}, &file)...)
	}
	if diags.HasErrors() {
		return file.Image, fmt.Errorf("image %s: %w", name, diags)
	}
	if file.Image.Like == "" {
		return file.Image, nil
	}
	if depth > 4 {
		return file.Image, fmt.Errorf("image %s: like %q goes round in a circle", name, file.Image.Like)
	}
	base, err := load(fsys, file.Image.Like, depth+1)
	if err != nil {
		return file.Image, err
	}
	return file.Image.over(base), nil
}

// over gives base with what s says on top.
func (s imageSchema) over(base imageSchema) imageSchema {
	first := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	base.Kind, base.Release = first(s.Kind, base.Kind), first(s.Release, base.Release)
	base.Architecture, base.Epoch = first(s.Architecture, base.Architecture), first(s.Epoch, base.Epoch)
	base.Packages = slices.DeleteFunc(base.Packages, func(p string) bool { return slices.Contains(s.Without, p) })
	for _, list := range []struct{ into, from *[]string }{
		{&base.Components, &s.Components}, {&base.Packages, &s.Packages}, {&base.Exclude, &s.Exclude}, {&base.Include, &s.Include},
		{&base.Enable, &s.Enable}, {&base.Modules, &s.Modules}, {&base.Keep, &s.Keep}, {&base.Remove, &s.Remove}, {&base.Compile, &s.Compile},
	} {
		*list.into = append(*list.into, *list.from...)
	}
	for name, line := range s.Users {
		base.Users[name] = line
	}
	for name, gid := range s.Groups {
		base.Groups[name] = gid
	}
	base.Files = append(base.Files, s.Files...)
	return base
}

func (s imageSchema) definition(fsys fs.FS, name string) (Definition, error) {
	d := Definition{
		Name: name, Kind: manifest.Kind(s.Kind), Release: s.Release, Architecture: s.Architecture, Components: s.Components,
		Packages: s.Packages, Exclude: s.Exclude, Include: s.Include, Enable: s.Enable, Users: s.Users, Groups: s.Groups, Keep: s.Keep, Remove: s.Remove,
		Compile: s.Compile,
	}
	if d.Architecture == "" {
		d.Architecture = "amd64"
	}
	if len(d.Components) == 0 {
		d.Components = []string{"main"}
	}
	epoch, err := time.Parse(time.RFC3339, s.Epoch)
	if err != nil {
		return d, fmt.Errorf("epoch: %w", err)
	}
	d.Epoch = epoch.Unix()
	if d.Modules, err = moduleLists(fsys, s.Modules); err != nil {
		return d, err
	}
	for _, f := range s.Files {
		overlay, err := f.read(fsys)
		if err != nil {
			return d, err
		}
		d.Files = append(d.Files, overlay)
	}
	if d.Kind == manifest.Root {
		d.Files = append(d.Files, generatedFiles(d)...)
	}
	slices.SortFunc(d.Files, func(a, b OverlayFile) int { return strings.Compare(a.Path, b.Path) })
	return d, nil
}
