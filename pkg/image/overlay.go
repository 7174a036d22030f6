package image

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
)

// Overlay shows the files of top, and those of base where top has none: an operator's own definitions beside, and over, those of the program.
func Overlay(top, base fs.FS) fs.FS { return layered{top, base} }

type layered struct{ top, base fs.FS }

// Open implements fs.FS.
func (o layered) Open(name string) (fs.File, error) {
	f, err := o.top.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return o.base.Open(name)
	}
	return f, err
}

// ReadDir implements fs.ReadDirFS: what both have, top's entry where a name is in both.
func (o layered) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(o.top, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	below, baseErr := fs.ReadDir(o.base, name)
	if baseErr != nil && (err != nil || !errors.Is(baseErr, fs.ErrNotExist)) {
		return nil, baseErr
	}
	for _, e := range below {
		if !slices.ContainsFunc(list, func(have fs.DirEntry) bool { return have.Name() == e.Name() }) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}
