package image

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// moduleIndex is what depmod knows of one kernel: modules.dep, modules.softdep and modules.builtin.
type moduleIndex struct {
	files   map[string]string   // name: file below the modules' directory
	needs   map[string][]string // file: files
	soft    map[string][]string // name: names that are loaded before
	builtin map[string]bool
}

// moduleName is a module's name as the kernel spells it: of "kernel/fs/nls/nls_cp437.ko.xz", "nls_cp437"; dashes are underscores.
func moduleName(file string) string {
	base, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(base, "-", "_")
}

func parseModules(dep, softdep, builtin string) moduleIndex {
	m := moduleIndex{files: map[string]string{}, needs: map[string][]string{}, soft: map[string][]string{}, builtin: map[string]bool{}}
	for line := range strings.Lines(dep) {
		file, needs, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok {
			m.files[moduleName(file)] = file
			m.needs[file] = strings.Fields(needs)
		}
	}
	for line := range strings.Lines(softdep) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "softdep" {
			continue
		}
		name := moduleName(f[1])
		for _, word := range f[2:] {
			if !strings.HasSuffix(word, ":") { // pre: and post:
				m.soft[name] = append(m.soft[name], moduleName(word))
			}
		}
	}
	for line := range strings.Lines(builtin) {
		m.builtin[moduleName(strings.TrimSpace(line))] = true
	}
	return m
}

// choose gives the files of the named modules and of all that they need, sorted. A name that this kernel does not know is an error:
// a driver that was renamed must not go missing in silence.
func (m moduleIndex) choose(names []string) ([]string, error) {
	chosen, unknown := map[string]bool{}, []string{}
	var add func(name string, wanted bool)
	add = func(name string, wanted bool) {
		file, ok := m.files[name]
		if !ok {
			if wanted && !m.builtin[name] {
				unknown = append(unknown, name)
			}
			return
		}
		if chosen[file] {
			return
		}
		chosen[file] = true
		for _, need := range m.needs[file] {
			add(moduleName(need), false)
		}
		for _, soft := range m.soft[name] {
			add(soft, false)
		}
	}
	for _, name := range names {
		add(strings.ReplaceAll(name, "-", "_"), true)
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("the kernel has no module %s: take it from the lists in modules/, or write its new name", strings.Join(unknown, ", "))
	}
	return slices.Sorted(maps.Keys(chosen)), nil
}
