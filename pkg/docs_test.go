package pkg_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
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
	"gate":           "an operator's own health gates: a command, a web page, a query to Prometheus",
	"model":          "typed names and values: places, nodes, disks, networks, desired, observed",
	"diag":           "collected diagnostics with source ranges and remedies",
	"seeded":         "a fixed seed for property tests",
	"inventory":      "HCL → model, with the provenance of every value",
	"profile":        "Butane and inventory → a node's whole host configuration",
	"plan":           "ops, stages, validation, the plan file",
	"plan/plantest":  "fleets and policies generated from a seed, for tests and benchmarks",
	"facts":          "observations → the short statements that plans reason about",
	"order":          "install orders and what relay and agent say to each other",
	"image/manifest": "manifest, chunk digests, signature",
	"planner":        "desired + facts → plan, or a refusal",
	"verify":         "checks a plan's certificate; shares no algorithm with the planner",
	"bmc":            "machines through Redfish and IPMI",
	"netboot":        "DHCP, TFTP, HTTP and iPXE scripts behind one question: what may this machine boot?",
	"image":          "build, sign, keep, check and serve images",
	"remote":         "SSH: run, write, tunnel; known host keys only",
	"host":           "observe and change one service of a host: `host/ovs`, `host/kvm`, `host/ceph`, `host/rbd`, `host/pki`, `host/files`, `host/packages`, `host/slot`",
	"state":          "store with leases, journal, asks of the holder",
	"installer":      "what runs in the ramdisk, and what writes the idle slot of a running host",
	"relay":          "boot service of one network with its order book; `relay/bootd` is the daemon",
	"fleet":          "many BMCs and hosts at once, as the ports of `ops`",
	"provision":      "gives install orders and follows them",
	"observe":        "asks everything, collects the answers",
	"ops":            "per kind of op: check, apply, verify, probe; declares the ports it needs",
	"console":        "listens to consoles while machines start, and keeps what a failed one said last",
	"engine":         "runs a plan: journal, limits, stop rules, events",
	"view":           "plans, events, diagnostics, status as text and JSON",
	"metal3":         "the inventory's nodes as Metal3's objects",
	"lab":            "the virtual rack; knows nothing of what drives it",
	"certify":        "placements of a rollout solved again and verified before each batch",
	"sim":            "a simulated data centre in virtual time, a monitor that watches what is true in it, and whole rollouts run there",
	"adopt":          "running hosts that nuboctl did not lay down → an inventory that describes them",
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
