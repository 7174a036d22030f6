package diag_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/diag"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

func at(file string, line, column int) diag.Range {
	return diag.Range{File: file, Start: diag.Pos{Line: line, Column: column}, End: diag.Pos{Line: line, Column: column + 1}}
}

func TestSorted(t *testing.T) {
	var l diag.List
	l.Errorf(diag.Range{}, "", "nowhere %d", 1)
	l.Warnf(at("b.hcl", 1, 1), "", "b")
	l.Errorf(at("a.hcl", 10, 1), "", "a10")
	l.Errorf(at("a.hcl", 9, 7), "", "a9,7")
	l.Errorf(at("a.hcl", 9, 3), "", "a9,3 first")
	l.Errorf(at("a.hcl", 9, 3), "", "a9,3 second")
	l.Warnf(diag.Range{}, "", "nowhere 2")
	before := slices.Clone(l)
	var got []string
	for _, d := range l.Sorted() {
		got = append(got, d.Summary)
	}
	want := []string{"a9,3 first", "a9,3 second", "a9,7", "a10", "b", "nowhere 1", "nowhere 2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, l); diff != "" {
		t.Errorf("sorting has changed the list itself:\n%s", diff)
	}
}

func TestText(t *testing.T) {
	for want, d := range map[string]diag.Diagnostic{
		"error: it is wrong":                           {Severity: diag.Error, Summary: "it is wrong"},
		"a.hcl:3,5: warning: odd; since then; do this": {Severity: diag.Warning, Summary: "odd", Detail: "since then", Remedy: "do this", Subject: at("a.hcl", 3, 5)},
	} {
		if got := d.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestErr(t *testing.T) {
	var l diag.List
	if l.Err() != nil || l.HasErrors() {
		t.Error("an empty list is an error")
	}
	if l.Warnf(at("a", 1, 1), "", "w"); l.Err() != nil || l.HasErrors() {
		t.Error("a warning is an error")
	}
	l.Errorf(at("a", 2, 1), "mend it", "e")
	if err := l.Err(); err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), "mend it") {
		t.Errorf("got %v", err)
	}
}

func TestFromError(t *testing.T) {
	var one, two diag.List
	one.Errorf(at("a", 1, 1), "", "first")
	two.Errorf(at("b", 1, 1), "", "second")
	plain := errors.New("disk is full")
	lone := func(text string) diag.List { return diag.List{{Severity: diag.Error, Summary: text}} }
	for _, tc := range []struct {
		name string
		err  error
		want diag.List
	}{
		{"nothing", nil, nil},
		{"a list", one.Err(), one},
		{"a wrapped list", fmt.Errorf("inventory: %w", one.Err()), one},
		{"two lists", errors.Join(one.Err(), two.Err()), slices.Concat(one, two)},
		{"two lists, wrapped", fmt.Errorf("inventory: %w", errors.Join(fmt.Errorf("x: %w", one.Err()), two.Err())), slices.Concat(one, two)},
		{"a list and another error", errors.Join(one.Err(), plain), slices.Concat(one, lone("disk is full"))},
		{"another error", fmt.Errorf("write: %w", plain), lone("write: disk is full")},
		{"other errors", errors.Join(plain, plain), lone("disk is full\ndisk is full")},
	} {
		if diff := cmp.Diff(tc.want, diag.FromError(tc.err)); diff != "" {
			t.Errorf("%s:\n%s", tc.name, diff)
		}
	}
}

// Nothing is lost on the way through an error, however it is wrapped.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l diag.List
		for range rapid.IntRange(1, 6).Draw(t, "n") {
			l.Errorf(at(rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "file"), rapid.IntRange(1, 3).Draw(t, "line"), 1), "", "%d", rapid.IntRange(0, 99).Draw(t, "text"))
		}
		err := l.Err()
		for range rapid.IntRange(0, 3).Draw(t, "wrapped") {
			if rapid.Bool().Draw(t, "joined") {
				err = errors.Join(nil, err)
			} else {
				err = fmt.Errorf("more: %w", err)
			}
		}
		if diff := cmp.Diff(l.Sorted(), diag.FromError(err)); diff != "" {
			t.Fatal(diff)
		}
	})
}
