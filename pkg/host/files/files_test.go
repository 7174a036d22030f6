package files_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/host/files"
	"github.com/nuboctl/nuboctl/pkg/remote"
)

func TestDriftAndRepair(t *testing.T) {
	dir, h, ctx := t.TempDir(), remote.Local{}, t.Context()
	want := []files.File{
		{Path: dir + "/a/one", Mode: 0o644, Content: []byte("one\n")},
		{Path: dir + "/two words", Mode: 0o600, Content: []byte("two\x00bytes")},
		{Path: dir + "/script", Mode: 0o755, Content: []byte("#!/bin/sh\n")},
		{Path: dir + "/same", Mode: 0o644},
	}
	seen := func() []string {
		t.Helper()
		drift, err := files.Observe(ctx, h, want)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, d := range drift {
			rel, _ := filepath.Rel(dir, d.Path)
			out = append(out, rel+": "+d.What)
		}
		return out
	}
	if diff := cmp.Diff([]string{"a/one: missing", "same: missing", "script: missing", "two words: missing"}, seen()); diff != "" {
		t.Error(diff)
	}
	if done, err := files.Repair(ctx, h, want); err != nil || len(done) != 4 {
		t.Fatalf("%v, %v", done, err)
	}
	if left := seen(); left != nil {
		t.Errorf("after repair: %v", left)
	}
	if err := os.WriteFile(dir+"/a/one", []byte("by hand\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"/script", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir + "/same"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir+"/script", dir+"/same"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a/one: content", "same: missing", "script: mode 0777"}, seen()); diff != "" {
		t.Error(diff)
	}
	done, err := files.Repair(ctx, h, want)
	if err != nil || len(done) != 3 || fmt.Sprint(done[0]) != dir+"/a/one (content)" {
		t.Fatalf("%v, %v", done, err)
	}
	if left := seen(); left != nil {
		t.Errorf("after repair: %v", left)
	}
	if done, err := files.Repair(ctx, h, want); err != nil || done != nil {
		t.Errorf("a second time: %v, %v", done, err)
	}
}
