package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// job is one job of a pipeline file: its commands in their order, and the files that it keeps whatever comes of them.
type job struct {
	name     string
	commands []string
	keeps    []string
}

// part is the YAML of a pipeline file in docs/ci.md.
func part(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("../../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)<!-- " + name + " -->\n```yaml\n(.*?)```\n").FindSubmatch(text)
	if m == nil {
		t.Fatalf("docs/ci.md has no part %s", name)
	}
	if err := yaml.Unmarshal(m[1], into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// gitlab reads the jobs of GitLab's file, as far as GitLab itself would object to them.
func gitlab(t *testing.T) []job {
	var all map[string]yaml.Node
	part(t, "gitlab", &all)
	var stages []string
	decode(t, all["stages"], &stages)
	var out []job
	for name, node := range all {
		if name == "stages" || name == "default" {
			continue
		}
		var j struct {
			Stage     string
			Script    []string
			Artifacts struct {
				When    string
				Paths   []string
				Reports struct{ JUnit yaml.Node }
			}
		}
		decode(t, node, &j)
		if !slices.Contains(stages, j.Stage) || len(j.Script) == 0 {
			t.Errorf("GitLab's job %s: stage %q of %v, %d commands", name, j.Stage, stages, len(j.Script))
		}
		reports := []string{j.Artifacts.Reports.JUnit.Value}
		if j.Artifacts.Reports.JUnit.Kind == yaml.SequenceNode {
			decode(t, j.Artifacts.Reports.JUnit, &reports)
		}
		keeps := slices.DeleteFunc(append(reports, j.Artifacts.Paths...), func(s string) bool { return s == "" })
		if len(keeps) > 0 && j.Artifacts.When != "always" {
			t.Errorf("GitLab's job %s does not keep its report when it fails", name)
		}
		out = append(out, job{name, j.Script, keeps})
	}
	return out
}

// github reads the jobs of GitHub's file.
func github(t *testing.T) []job {
	var file struct {
		On   struct{ Schedule []struct{ Cron string } }
		Jobs map[string]struct {
			If    string
			Needs string
			Steps []struct {
				Run, Uses, If string
				With          struct{ Path string }
			}
		}
	}
	part(t, "github", &file)
	var out []job
	for name, j := range file.Jobs {
		o := job{name: name}
		if _, ok := file.Jobs[j.Needs]; j.Needs != "" && !ok {
			t.Errorf("GitHub's job %s needs %s, which is not there", name, j.Needs)
		}
		if _, cron, ok := strings.Cut(j.If, "github.event.schedule == "); ok {
			cron = strings.Trim(cron, "'")
			if !slices.ContainsFunc(file.On.Schedule, func(s struct{ Cron string }) bool { return s.Cron == cron }) {
				t.Errorf("GitHub's job %s runs at %q, when nothing is started", name, cron)
			}
		}
		for _, s := range j.Steps {
			switch {
			case s.Run != "":
				o.commands = append(o.commands, s.Run)
			case strings.HasPrefix(s.Uses, "actions/upload-artifact@"):
				o.keeps = append(o.keeps, s.With.Path)
				if s.If != "always()" {
					t.Errorf("GitHub's job %s does not keep its report when it fails", name)
				}
			}
		}
		out = append(out, o)
	}
	return out
}

func decode(t *testing.T, n yaml.Node, into any) {
	t.Helper()
	if err := n.Decode(into); err != nil {
		t.Fatal(err)
	}
}

// runner is a machine that runs jobs in a checkout with the directories inventory and staging; nuboctl on it is a script.
type runner struct {
	*testing.T
	dir string
}

// newRunner makes a checkout of a site that was adopted from a survey, which needs no rack to be looked at.
func newRunner(t *testing.T) *runner {
	t.Helper()
	r := &runner{t, t.TempDir()}
	survey, err := filepath.Abs("../../pkg/adopt/testdata/survey.json")
	if err != nil {
		t.Fatal(err)
	}
	r.nuboctl("")
	for _, dir := range []string{"inventory", "staging"} {
		if code, out := r.run("nuboctl -C " + dir + " adopt --site staging --observed " + survey); code != 0 {
			t.Fatalf("make the checkout: exit %d: %s", code, out)
		}
	}
	return r
}

// nuboctl puts a script in nuboctl's place: it writes down what it is asked, does what is said first, and then becomes the program, which plans from what the file
// "seen" of the checkout records.
func (r *runner) nuboctl(first string) {
	self, err := os.Executable()
	if err != nil {
		r.Fatal(err)
	}
	program := filepath.Join(r.dir, "program")
	if err := errors.Join(os.MkdirAll(program, 0o755), os.RemoveAll(filepath.Join(program, "nuboctl"))); err != nil {
		r.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/bash\necho \"$*\" >>%q\n%s\ncase \" $* \" in *\" plan \"*) set -- \"$@\" --observed %q ;; esac\nexec -a nuboctl %q \"$@\"\n",
		filepath.Join(r.dir, "asked"), first, filepath.Join(r.dir, "seen"), self)
	if err := os.WriteFile(filepath.Join(program, "nuboctl"), []byte(script), 0o755); err != nil {
		r.Fatal(err)
	}
}

// run runs a job's commands as both services do: bash, and the first command that fails ends it.
func (r *runner) run(commands ...string) (int, string) {
	r.Helper()
	cmd := exec.CommandContext(r.Context(), "bash", "-e", "-o", "pipefail", "-c", strings.Join(commands, "\n"))
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "HOME="+r.dir, "PATH="+filepath.Join(r.dir, "program")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// asked is what nuboctl was asked since the last time.
func (r *runner) asked() []string {
	text, _ := os.ReadFile(filepath.Join(r.dir, "asked")) // nothing was asked: no file
	_ = os.Remove(filepath.Join(r.dir, "asked"))
	return strings.FieldsFunc(string(text), func(c rune) bool { return c == '\n' })
}

// reports are the JUnit reports that match what a job keeps: their counts of cases and failures. What is no report of well-formed XML fails the test.
func (r *runner) reports(j job) (tests, failures int) {
	r.Helper()
	for _, pattern := range j.keeps {
		files, _ := filepath.Glob(filepath.Join(r.dir, pattern))
		if len(files) == 0 {
			r.Errorf("%s keeps %s, and no command of it writes that", j.name, pattern)
		}
		for _, file := range files {
			if filepath.Ext(file) != ".xml" {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				r.Fatal(err)
			}
			var report struct {
				XMLName  xml.Name `xml:"testsuites"`
				Tests    int      `xml:"tests,attr"`
				Failures int      `xml:"failures,attr"`
				Cases    []struct {
					Name    string    `xml:"name,attr"`
					Failure *struct{} `xml:"failure"`
				} `xml:"testsuite>testcase"`
			}
			if err := xml.Unmarshal(text, &report); err != nil {
				r.Errorf("%s: %v", file, err)
			}
			failed := 0
			for _, c := range report.Cases {
				if c.Failure != nil {
					failed++
				}
			}
			if len(report.Cases) != report.Tests || failed != report.Failures {
				r.Errorf("%s counts %d cases and %d failures, and has %d and %d", file, report.Tests, report.Failures, len(report.Cases), failed)
			}
			tests, failures = tests+report.Tests, failures+report.Failures
		}
	}
	return tests, failures
}

// see records what is there: the site as it was found, with the changes.
func (r *runner) see(oldnew ...string) {
	text, err := os.ReadFile(filepath.Join(r.dir, "inventory", "observed.json"))
	if err != nil {
		r.Fatal(err)
	}
	changed := strings.NewReplacer(oldnew...).Replace(string(text))
	if (changed == string(text)) != (len(oldnew) == 0) {
		r.Fatalf("%v changes nothing", oldnew)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "seen"), []byte(changed), 0o644); err != nil {
		r.Fatal(err)
	}
}

// TestPipelines runs what docs/ci.md gives to people: the jobs that look, with the real program; the one that rebuilds staging, with each of its commands failing.
func TestPipelines(t *testing.T) {
	for service, jobs := range map[string][]job{"gitlab": gitlab(t), "github": github(t)} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			r := newRunner(t)
			names := []string{}
			for _, j := range jobs {
				names = append(names, j.name)
				if j.name == "staging" {
					r.rebuilds(j)
				} else {
					r.looks(j)
				}
			}
			slices.Sort(names)
			if want := []string{"drift", "plan", "staging", "validate"}; !slices.Equal(names, want) {
				t.Errorf("jobs %v, want %v", names, want)
			}
		})
	}
}

// looks runs a job that changes nothing: on a site as it should be, with drift, and with a mistake in the inventory.
func (r *runner) looks(j job) {
	r.asked()
	r.see()
	if code, out := r.run(j.commands...); code != 0 {
		r.Errorf("%s of a site as it should be: exit %d: %s", j.name, code, out)
	}
	if got := r.asked(); len(got) != len(j.commands) {
		r.Errorf("%s asked %v", j.name, got)
	}
	plans := slices.ContainsFunc(j.commands, func(c string) bool { return strings.Contains(c, " plan ") })
	if tests, failures := r.reports(j); plans && (tests != 4 || failures != 0) {
		r.Errorf("%s of a site as it should be: %d cases, %d failures", j.name, tests, failures)
	}
	r.see(`"uplink": "bond0"`, `"uplink": "eno1"`)
	want := map[bool]int{true: 2}[strings.Contains(strings.Join(j.commands, "\n"), "--detailed-exitcode")]
	if code, out := r.run(j.commands...); code != want {
		r.Errorf("%s of a site with drift: exit %d, want %d: %s", j.name, code, want, out)
	}
	if tests, failures := r.reports(j); plans && (tests != 4 || failures != 3) {
		r.Errorf("%s of a site with drift: %d cases, %d failures", j.name, tests, failures)
	}
	wrong := filepath.Join(r.dir, "inventory", "wrong.hcl")
	if err := os.WriteFile(wrong, []byte("network \"x\" {}\n"), 0o644); err != nil {
		r.Fatal(err)
	}
	if code, out := r.run(j.commands...); code != 1 || !strings.Contains(out, "wrong.hcl") {
		r.Errorf("%s of a broken inventory: exit %d: %s", j.name, code, out)
	}
	if err := os.Remove(wrong); err != nil {
		r.Fatal(err)
	}
}

// rebuilds runs the job that lays staging down anew. There is no rack, so its commands are known to be understood by the real program, and what happens when one of
// them fails is played: the job ends there, with nuboctl's own exit code.
func (r *runner) rebuilds(j job) {
	for _, c := range j.commands {
		if code, out := r.run(c + " --help"); code != 0 || !strings.Contains(out, "Usage:") {
			r.Errorf("%s: exit %d: %s", c, code, out)
		}
	}
	r.asked()
	r.nuboctl("exit 0")
	if code, _ := r.run(j.commands...); code != 0 {
		r.Errorf("%s: exit %d", j.name, code)
	}
	whole := r.asked()
	var words []string
	for _, c := range whole {
		words = append(words, strings.Fields(c)[2])
	}
	if want := []string{"validate", "reinstall", "apply", "plan"}; !slices.Equal(words, want) {
		r.Errorf("%s asked for %v, want %v", j.name, words, want)
	}
	for i, word := range words {
		for _, fails := range []int{1, 3, 4, 6} {
			r.nuboctl(fmt.Sprintf("[ \"$3\" != %s ] || exit %d\nexit 0", word, fails))
			code, _ := r.run(j.commands...)
			if got := r.asked(); code != fails || !slices.Equal(got, whole[:i+1]) {
				r.Errorf("%s, when %s ends with %d: exit %d after %v", j.name, word, fails, code, got)
			}
		}
	}
	r.nuboctl("")
}
