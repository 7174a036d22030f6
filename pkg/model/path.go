// Package model holds the nouns of a cloud as typed values: places, machines, nodes, disks, networks, images, virtual machines, what
// is desired and what is observed. It has no behaviour beyond naming, ordering and digesting; everything else imports it.
package model

import "strings"

// Path names a place or a node from the site downwards, joined with slashes: "lab/r1/az1/a/blade-01".
// The cloud itself is the empty path.
type Path string

// Join appends names to the path.
func (p Path) Join(names ...string) Path {
	parts := names
	if p != "" {
		parts = append([]string{string(p)}, names...)
	}
	return Path(strings.Join(parts, "/"))
}

// Parent is the place that holds this one; the parent of a site is the empty path.
func (p Path) Parent() Path {
	if i := strings.LastIndexByte(string(p), '/'); i >= 0 {
		return p[:i]
	}
	return ""
}

// Name is the last element.
func (p Path) Name() string { return string(p[strings.LastIndexByte(string(p), '/')+1:]) }

// Contains reports whether q is p or lies below it. The empty path contains everything.
func (p Path) Contains(q Path) bool {
	return p == "" || p == q || (strings.HasPrefix(string(q), string(p)) && q[len(p)] == '/')
}

// Element returns the first n elements: Element(1) is the site, 2 the region, 3 the zone, 4 the rack.
func (p Path) Element(n int) Path {
	rest := string(p)
	end := 0
	for i := 0; i < n; i++ {
		j := strings.IndexByte(rest[end:], '/')
		if j < 0 {
			return p
		}
		end += j + 1
	}
	if end == 0 {
		return ""
	}
	return p[:end-1]
}

// Site is the site of a place.
func (p Path) Site() Path { return p.Element(1) }

// Region is the region of a place below one.
func (p Path) Region() Path { return p.Element(2) }

// Zone is the zone of a place below one.
func (p Path) Zone() Path { return p.Element(3) }

// Rack is the rack of a place below one.
func (p Path) Rack() Path { return p.Element(4) }
