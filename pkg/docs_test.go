package pkg_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nuboctl/nuboctl/pkg/inventory"
)

// update writes the generated parts of the documents anew: go test ./pkg -run TestDocs -update
var update = flag.Bool("update", false, "write the generated parts of the documents anew")

// docRoot is the checkout, seen from this package.
const docRoot = ".."

// documents are README.md and everything below docs/, by path from the checkout.
func documents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{"README.md": readDoc(t, "README.md")}
	err := fs.WalkDir(os.DirFS(docRoot), "docs", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasSuffix(name, ".md") {
			out[name] = readDoc(t, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(docRoot, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// between splits a document at <!-- NAME --> and <!-- /NAME -->.
func between(t *testing.T, doc, text, name string) (before, inside, after string) {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	i, j := strings.Index(text, begin), strings.Index(text, end)
	if i < 0 || j < i {
		t.Fatalf("%s has no part %s", doc, name)
	}
	i += len(begin)
	return text[:i], text[i:j], text[j:]
}

// generated compares a part of a document with what it should be, or writes it.
func generated(t *testing.T, doc, part, want string) {
	t.Helper()
	before, have, after := between(t, doc, readDoc(t, doc), part)
	if have == want {
		return
	}
	if !*update {
		t.Errorf("%s, part %s is not up to date; go test ./pkg -run TestDocs -update writes it (-have +want):\n%s", doc, part, cmp.Diff(have, want))
		return
	}
	if err := os.WriteFile(filepath.Join(docRoot, doc), []byte(before+want+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// purposes say what each row of the layer table is for; the rest of the table in docs/architecture.md comes from layers.
var purposes = map[string]string{
	"model":          "typed names and values: places, nodes, disks, networks, desired, observed",
	"diag":           "collected diagnostics with source ranges and remedies",
	"inventory":      "HCL → model, with the provenance of every value",
	"profile":        "Butane and inventory → a node's whole host configuration",
	"plan":           "ops, stages, validation, the plan file",
	"facts":          "observations → the short statements that plans reason about",
	"order":          "install orders and what relay and agent say to each other",
	"image/manifest": "manifest, chunk digests, signature",
	"planner":        "desired + facts → plan, or a refusal",
	"verify":         "will re-check a plan's certificate; not there yet",
	"bmc":            "machines through Redfish and IPMI",
	"netboot":        "DHCP, TFTP, HTTP and iPXE scripts behind one question: what may this machine boot?",
	"image":          "build, sign, keep, check and serve images",
	"remote":         "SSH: run, write, tunnel; known host keys only",
	"host":           "observe and change one service of a host: `host/ovs`, `host/kvm`, `host/slot`",
	"state":          "store with leases, journal, control socket",
	"installer":      "what runs in the ramdisk, and what writes the idle slot of a running host",
	"relay":          "boot service of one network with its order book; `relay/bootd` is the daemon",
	"fleet":          "many BMCs and hosts at once, as the ports of `ops`",
	"provision":      "gives install orders and follows them",
	"observe":        "asks everything, collects the answers",
	"ops":            "per kind of op: check, apply, verify, probe; declares the ports it needs",
	"engine":         "runs a plan: journal, limits, stop rules, events",
	"view":           "plans, events, diagnostics, status as text and JSON",
	"metal3":         "the inventory's nodes as Metal3's objects",
	"lab":            "the virtual rack; knows nothing of what drives it",
	"sim":            "will be the simulated data centre; not there yet",
	"app":            "all wiring: each command is a function",
}

func TestDocsLayers(t *testing.T) {
	names := make([]string, 0, len(layers))
	for n := range layers {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := layers[a].level - layers[b].level; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var b strings.Builder
	b.WriteString("| layer | package | purpose | may import, beside layer 0 |\n|---|---|---|---|\n")
	for _, n := range names {
		if purposes[n] == "" {
			t.Errorf("pkg/%s: say in purposes what it is for", n)
		}
		may := "none"
		if list := layers[n].may; len(list) > 0 {
			may = "`" + strings.ReplaceAll(strings.Join(list, "`, `"), "...", "…") + "`"
			if list[0] == "..." {
				may = "all"
			}
		}
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s |\n", layers[n].level, n, purposes[n], may)
	}
	generated(t, "docs/architecture.md", "layers", b.String())
}

// TestDocsLanguage holds the language reference against the grammar that the program itself goes by.
func TestDocsLanguage(t *testing.T) {
	_, body, ok := strings.Cut(inventory.Reference(), "\n\n")
	if !ok {
		t.Fatal("the reference has no title")
	}
	generated(t, "docs/language.md", "reference", strings.ReplaceAll(body, "\n## ", "\n### "))
}

var linkPattern = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestDocsLinks(t *testing.T) {
	docs := documents(t)
	for doc, text := range docs {
		for _, m := range linkPattern.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := doc
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(doc), file))
			}
			if _, err := os.Stat(filepath.Join(docRoot, filepath.FromSlash(target))); err != nil {
				t.Errorf("%s: link to %s: %v", doc, m[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(docs[target]), anchor) {
				t.Errorf("%s: link to %s: that document has no such heading", doc, m[1])
			}
		}
	}
}

var headingPattern = regexp.MustCompile(`(?m)^#+ (.*)$`)

// anchors are the names that headings are linked by: lower case, hyphens for spaces, other punctuation left out.
func anchors(text string) []string {
	var out []string
	for _, m := range headingPattern.FindAllStringSubmatch(text, -1) {
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127 && r != '→' && r != '…':
				return r
			}
			return -1
		}, strings.ToLower(m[1])))
	}
	return out
}

// TestDocsDecisions wants every decision listed, dated, and in the same three parts.
func TestDocsDecisions(t *testing.T) {
	docs := documents(t)
	index := docs["docs/decisions/README.md"]
	dated := regexp.MustCompile(`^docs/decisions/\d{4}-\d\d-\d\d-[a-z0-9-]+\.md$`)
	for name, text := range docs {
		if !strings.HasPrefix(name, "docs/decisions/") || name == "docs/decisions/README.md" {
			continue
		}
		if !dated.MatchString(name) {
			t.Errorf("%s: a decision is called DATE-NAME.md", name)
		}
		if !strings.Contains(index, "("+filepath.Base(name)+")") {
			t.Errorf("%s is not listed in docs/decisions/README.md", name)
		}
		for _, part := range []string{"\n## Context\n", "\n## Decision\n", "\n## Consequences\n"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no part %q", name, strings.TrimSpace(part))
			}
		}
	}
}

// placesOnHosts are the first parts of absolute paths that documents may name: those of any Debian host, of HTTP interfaces, of the lab.
var placesOnHosts = []string{"etc", "var", "usr", "state", "boot", "dev", "run", "proc", "sys", "v1", "redfish", "vmlinuz", "initrd.img"}

var absolutePath = regexp.MustCompile("(?:^|[\\s`\"'(=:])/([A-Za-z][A-Za-z0-9._-]*)")

// markPattern is what separates generated parts.
var markPattern = regexp.MustCompile(`<!-- /?[a-z-]+ -->`)

// TestDocsNameNoMachine keeps paths and names of the machine that a document was written on out of it.
func TestDocsNameNoMachine(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for doc, text := range documents(t) {
		for i, line := range strings.Split(markPattern.ReplaceAllString(text, ""), "\n") {
			for _, m := range absolutePath.FindAllStringSubmatch(line, -1) {
				if !slices.Contains(placesOnHosts, m[1]) {
					t.Errorf("%s:%d names /%s, which is a path of one machine", doc, i+1, m[1])
				}
			}
			if len(host) > 6 && strings.Contains(line, host) {
				t.Errorf("%s:%d names this machine, %s", doc, i+1, host)
			}
		}
	}
}

var makeTarget = regexp.MustCompile(`\bmake ([a-z][a-z0-9-]*)`)

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

var commandLine = regexp.MustCompile(`(?m)^  ([a-z][a-z0-9-]*) {2,}\S`)

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
