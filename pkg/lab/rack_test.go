package lab

import (
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

func TestRacksOfTheProject(t *testing.T) {
	for _, name := range []string{"demo", "e2e"} {
		if rack := loadRack(t, name); rack.Name != name {
			t.Errorf("rack file %s describes rack %s", name, rack.Name)
		}
	}
}

func TestRackMistakesComeAllAtOnce(t *testing.T) {
	for _, name := range []string{"unknown", "wrong"} {
		src, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		rack, list := Parse(src, name+".json")
		if rack != nil {
			t.Errorf("%s: a rack in spite of errors", name)
		}
		var lines []string
		for _, d := range list.Sorted() {
			lines = append(lines, d.String())
		}
		golden(t, "mistakes-"+name, strings.Join(lines, "\n")+"\n")
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	for _, file := range []string{"testdata/absent.json", "testdata/wrong.json"} {
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("Load(%s) = %v", file, err)
		}
	}
}

// Whatever stands in a rack file is read or refused.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"../../e2e/racks/e2e.json", "testdata/wrong.json", "testdata/unknown.json"} {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Add([]byte(`{"blade":{"a":{"nic":{"x":{"mac":""}}}}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		rack, list := Parse(src, "fuzz.json")
		if (rack == nil) != list.HasErrors() {
			t.Fatalf("rack %v with %v", rack, list)
		}
		if rack != nil { // what was accepted can be built
			networkPlan(rack)
			for _, b := range rack.Blades {
				qemuArgs(b, launch{Files: testDirs().files(b, 1)})
				ipmiLAN(b, "script", "127.0.0.1:1")
			}
		}
	})
}

// The kernel refuses longer names of interfaces, and no name may be cut: two would become one.
func TestInterfaceNamesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		station := rapid.StringMatching(`[a-z0-9-]{1,9}`).Draw(t, "station")
		network := rapid.StringMatching(`[a-z0-9-]{1,9}`).Draw(t, "network")
		if !shortForm.MatchString(station) || !shortForm.MatchString(network) {
			t.Skip("refused by the check")
		}
		if cable := station + "." + network; len(cable) > 15 {
			t.Fatalf("%s has %d characters", cable, len(cable))
		}
		name := rapid.StringMatching(`[a-z0-9-]{1,14}`).Draw(t, "blade")
		if bladeForm.MatchString(name) && len(tapName(Blade{Name: name}, 7)) > 15 {
			t.Fatalf("tap of %s is too long", name)
		}
	})
}
