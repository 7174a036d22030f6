package pkg_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var makeTarget = regexp.MustCompile(`(?m)(?:^\s*(?:\$ )?)make ([a-z][a-z0-9-]*)`)

func TestDocsMakeTargets(t *testing.T) {
	makefile := "\n" + readDoc(t, "Makefile")
	for doc, text := range documents(t) {
		for _, code := range codeOf(text) {
			for _, m := range makeTarget.FindAllStringSubmatch(code, -1) {
				if !strings.Contains(makefile, "\n"+m[1]+":") {
					t.Errorf("%s names make %s, which the Makefile does not have", doc, m[1])
				}
			}
		}
	}
}

var codeSpan = regexp.MustCompile("`([^`\n]+)`")

// codeOf gives the lines of fenced blocks and the code spans of a document.
func codeOf(text string) []string {
	var out []string
	fenced := false
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			fenced = !fenced
		case fenced || strings.HasPrefix(line, "    "):
			out = append(out, line)
		default:
			for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
				out = append(out, m[1])
			}
		}
	}
	return out
}

// program builds one of the commands and gives its file.
func program(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", file, "./cmd/"+name)
	cmd.Dir = docRoot
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return file
}

// helper asks a program for the help of its commands, each once.
type helper struct {
	file string
	told map[string]string
}

func (h *helper) help(t *testing.T, path ...string) string {
	t.Helper()
	key := strings.Join(path, " ")
	if text, ok := h.told[key]; ok {
		return text
	}
	out, err := exec.Command(h.file, append(slices.Clone(path), "--help")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s --help: %v\n%s", filepath.Base(h.file), key, err, out)
	}
	h.told[key] = string(out)
	return string(out)
}

// commandLine is a command in a list: the longest name has one space behind it, and what a command does begins with a capital letter.
var commandLine = regexp.MustCompile(`(?m)^  ([a-z][a-z0-9-]*) +[A-Z]`)

// commands lists the subcommands that a help text offers.
func commands(help string) []string {
	help, _, _ = strings.Cut(help, "\nFlags:")
	var out []string
	for _, m := range commandLine.FindAllStringSubmatch(help, -1) {
		out = append(out, m[1])
	}
	return out
}

var word = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// values are the flags of all commands that take a value of their own, to be passed over on the way to the command's name.
var values = []string{"-C", "-var", "--var", "--state", "--images", "--chdir", "--rack", "--dir"}

// check looks for the program's name in a piece of code, and for the command and flags behind it in the program's help.
func (h *helper) check(t *testing.T, doc, code string) {
	t.Helper()
	code, _, _ = strings.Cut(code, " # ")
	fields := strings.Fields(code)
	at := slices.IndexFunc(fields, func(f string) bool {
		return f == filepath.Base(h.file) || strings.HasSuffix(f, "/"+filepath.Base(h.file))
	})
	if at < 0 {
		return
	}
	var path []string
	onward := true
	for i := at + 1; i < len(fields); i++ {
		f := strings.Trim(fields[i], ".,;:")
		switch {
		case f == "|" || f == "&&" || f == "--":
			return
		case slices.Contains(values, f):
			i++
			fallthrough
		case strings.HasPrefix(f, "-"):
			h.flag(t, doc, code, path, f)
		case onward && word.MatchString(f):
			offered := commands(h.help(t, path...))
			if slices.Contains(offered, f) {
				path = append(path, f)
			} else if onward = false; len(offered) > 0 {
				t.Errorf("%s: %q: there is no command %q; there are %v", doc, code, f, offered)
			}
		default:
			onward = false
		}
	}
}

func (h *helper) flag(t *testing.T, doc, code string, path []string, f string) {
	t.Helper()
	name, _, _ := strings.Cut(f, "=")
	text := h.help(t, path...)
	if !regexp.MustCompile(`(?m)(^|[\s,(])` + regexp.QuoteMeta(name) + `([\s,=)]|$)`).MatchString(text) {
		t.Errorf("%s: %q: the help of %q does not know %s", doc, code, strings.Join(path, " "), name)
	}
}

func TestDocsCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the programs are not built")
	}
	docs := documents(t)
	for _, name := range []string{"nuboctl", "nubo-lab"} {
		h := &helper{file: program(t, name), told: map[string]string{}}
		for doc, text := range docs {
			for _, code := range codeOf(text) {
				h.check(t, doc, code)
			}
		}
		if name == "nuboctl" {
			docsExitCodes(t, docs["docs/operators-guide.md"], h.help(t))
		}
	}
}

var (
	exitInTable = regexp.MustCompile(`(?m)^\| (\d+) \|`)
	exitInHelp  = regexp.MustCompile(`(?:: |, )(\d+) [a-z]`)
)

// docsExitCodes wants the same exit codes in the guide's table as in the program's help.
func docsExitCodes(t *testing.T, guide, help string) {
	t.Helper()
	_, table, _ := between(t, "docs/operators-guide.md", guide, "exit-codes")
	_, told, ok := strings.Cut(strings.ReplaceAll(help, "\n", " "), "Exit codes")
	if !ok {
		t.Fatal("the help does not tell exit codes")
	}
	told, _, _ = strings.Cut(told, "Usage")
	numbers := func(p *regexp.Regexp, s string) []string {
		var out []string
		for _, m := range p.FindAllStringSubmatch(s, -1) {
			out = append(out, m[1])
		}
		return out
	}
	if have, want := numbers(exitInTable, table), numbers(exitInHelp, told); !slices.Equal(have, want) {
		t.Errorf("exit codes: the guide tells %v, the program's help %v", have, want)
	}
}
