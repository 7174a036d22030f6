package console

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestReadable(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"lines":          {"one\r\ntwo\n\n\nthree", []string{"one", "two", "three"}},
		"colours":        {"[\x1b[0;32m  OK  \x1b[0m] Started \x1b[1mssh\x1b[22m\n", []string{"[  OK  ] Started ssh"}},
		"a painted menu": {"\x1b[2J\x1b[1;1HGNU GRUB\x1b[5;3H*slot a\x1b[6;3Hslot b", []string{"GNU GRUB", "*slot a", "slot b"}},
		"progress":       {"10%\r20%\r30%\n", []string{"10%", "20%", "30%"}},
		"a title":        {"\x1b]0;root@blade\x07# ls\n", []string{"# ls"}},
		"rubbish":        {"a\x00b\x07c\xff\n", []string{"abc?"}},
		"a cut sequence": {"last\x1b[", []string{"last"}},
		"nothing":        {"", nil},
	} {
		if diff := cmp.Diff(c.want, Readable(c.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	tail := NewTail(64)
	for i := range 1000 {
		fmt.Fprintf(tail, "line %d\n", i)
	}
	if diff := cmp.Diff([]string{"line 998", "line 999"}, tail.Lines(2)); diff != "" {
		t.Error(diff)
	}
	if got := len(strings.Join(tail.Lines(1000), "\n")); got > 64 {
		t.Errorf("%d bytes are kept, at most 64 may be", got)
	}
	if got := NewTail(64).Lines(5); len(got) != 0 {
		t.Errorf("nothing was written, and %q is there", got)
	}
}

func FuzzReadable(f *testing.F) {
	f.Add("\x1b[1;1H\x1b]0;t\x07a\r\nb\x1b")
	f.Add("\xff\x1b[31m")
	f.Fuzz(func(t *testing.T, text string) {
		for _, line := range Readable(text) {
			if line == "" || !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q came out of %q", line, text)
			}
			if utf8.RuneCountInString(line) > maxLine+1 {
				t.Errorf("a line of %d characters", utf8.RuneCountInString(line))
			}
		}
	})
}
