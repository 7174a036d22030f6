package app

import "testing"

func TestAgainMeansTheSameInventory(t *testing.T) {
	for want, e := range map[string]Env{
		"nuboctl apply p.nubo":         {Dir: "."},
		"nuboctl -C site apply p.nubo": {Dir: "site"},
		"nuboctl -C 'my site' --var 'a=1' --var 'b=x y' --state /srv/state apply p.nubo": {Dir: "my site", Vars: map[string]string{"b": "x y", "a": "1"}, StateDir: "/srv/state"},
	} {
		if got := e.again("apply", "p.nubo"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
