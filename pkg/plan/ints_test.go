package plan_test

import (
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/nuboctl/nuboctl/pkg/plan"
	_ "github.com/nuboctl/nuboctl/pkg/seeded"
)

func TestIntsGoThroughJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := plan.Ints(rapid.SliceOf(rapid.Int32Min(-1<<31+1)).Draw(t, "x"))
		text, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		var plain []int32
		if err := json.Unmarshal(text, &plain); err != nil || !slices.Equal(plain, x) {
			t.Fatalf("%s is read by others as %v: %v", text, plain, err)
		}
		var y plan.Ints
		if err := json.Unmarshal(text, &y); err != nil || !slices.Equal(x, y) {
			t.Fatalf("%s is read as %v: %v", text, y, err)
		}
	})
}

func TestIntsRefuseOtherForms(t *testing.T) {
	for _, text := range []string{"null", "{}", "[1,]", "[,1]", "[01]", "[-0]", "[+1]", "[1 ,2]", "[1.0]", "[1e3]", "[2147483648]", `["1"]`, "[1", "[-]", "[[1]]"} {
		var x plan.Ints
		if err := x.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is read as %v", text, x)
		}
	}
}
