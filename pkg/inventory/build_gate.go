package inventory

import (
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// healthCheck is how Ceph names its health checks (doc/rados/operations/health-checks).
var healthCheck = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// healthChecks reads rollout.health_allow.
func (b *builder) healthChecks(o *object) []string {
	var out []string
	for i, name := range o.strs("health_allow") {
		switch {
		case !healthCheck.MatchString(name):
			b.errorf(o.whereElement("health_allow", i), `write the name of a check as ceph health detail shows it, such as "POOL_NO_REDUNDANCY"`, "%q is no name of a health check", name)
		case contains(out, name):
			b.errorf(o.whereElement("health_allow", i), "name each check once", "health_allow names %s twice", name)
		default:
			out = append(out, name)
		}
	}
	return out
}

// gate reads a gate block.
func (b *builder) gate(o *object) {
	if !b.note("gate/"+o.name, o) {
		return
	}
	b.checkLabel(o)
	g := model.Gate{Name: o.name, Scope: b.gateScope(o), Good: o.num("good")}
	if o.has("good") && (g.Good < 1 || g.Good > 100) {
		b.errorf(o.where("good"), "write a whole number from 1 to 100", "good is %d", g.Good)
	}
	if d, err := time.ParseDuration(o.str("deadline")); o.has("deadline") && (err != nil || d <= 0) {
		b.errorf(o.where("deadline"), `write a duration above 0, like "30m"`, "deadline %q is no duration", o.str("deadline"))
	} else {
		g.Deadline = d
	}
	asks := 0
	if c := o.first("command"); c != nil {
		asks++
		g.Command = b.gateCommand(c)
	}
	if h := o.first("http"); h != nil {
		asks++
		g.HTTP = b.gateHTTP(h)
	}
	if p := o.first("prometheus"); p != nil {
		asks++
		g.Prometheus = b.gatePrometheus(p)
	}
	if asks != 1 {
		b.errorf(o.where("name"), "give it one block: command { … }, http { … } or prometheus { … }; make a gate of its own for each question", "gate %q asks %d questions, not one", o.name, asks)
	}
	b.d.Gates = append(b.d.Gates, g)
}

func (b *builder) gateScope(o *object) model.Path {
	path := model.Path(strings.Trim(o.str("scope"), "/"))
	if path == "" {
		return ""
	}
	known := map[string]bool{}
	for p := range b.places {
		known[string(p)] = true
	}
	if !known[string(path)] {
		b.errorf(o.where("scope"), didYouMean(string(path), keysOf(known), "name a site, region, zone or rack by its path"), "scope names %q, which is no place of this cloud", path)
	}
	return path
}

func (b *builder) gateCommand(o *object) *model.GateCommand {
	c := &model.GateCommand{Run: o.strs("run")}
	if len(c.Run) == 0 || c.Run[0] == "" {
		b.errorf(o.where("run"), `write program and arguments: ["/usr/local/bin/check", "--quick"]`, "the command is empty")
	}
	name := o.str("node")
	if name == "" {
		return c
	}
	if p, ok := b.byName[name]; ok {
		c.Node = p
	} else if _, ok := b.nodes[model.Path(name)]; ok {
		c.Node = model.Path(name)
	} else {
		b.errorf(o.where("node"), didYouMean(name, keysOf(b.byName), "name a node"), "there is no node %q", name)
	}
	return c
}

func (b *builder) gateHTTP(o *object) *model.GateHTTP {
	h := &model.GateHTTP{URL: b.gateURL(o), Status: o.num("status"), Matches: o.str("matches")}
	if o.has("status") && (h.Status < 100 || h.Status > 599) {
		b.errorf(o.where("status"), "write a status of HTTP, such as 200 or 204", "status is %d", h.Status)
	}
	if _, err := regexp.Compile(h.Matches); err != nil {
		b.errorf(o.where("matches"), "correct it (the syntax is RE2's)", "matches is no regular expression: %v", err)
	}
	return h
}

func (b *builder) gatePrometheus(o *object) *model.GatePrometheus {
	p := &model.GatePrometheus{URL: b.gateURL(o), Query: o.str("query")}
	if strings.TrimSpace(p.Query) == "" {
		b.errorf(o.where("query"), `write PromQL, such as count(ALERTS{severity="critical"})`, "the query is empty")
	}
	for name, to := range map[string]**float64{"min": &p.Min, "max": &p.Max} {
		if o.has(name) {
			v := o.float(name)
			*to = &v
		}
	}
	switch {
	case p.Min == nil && p.Max == nil:
		b.errorf(o.where("query"), "say which values are good: max = 0, or min = 1, or both", "any value would be good")
	case p.Min != nil && p.Max != nil && *p.Min > *p.Max:
		b.errorf(o.where("min"), "exchange them, or take one away", "min %v is above max %v, so no value is good", *p.Min, *p.Max)
	}
	return p
}

func (b *builder) gateURL(o *object) string {
	text := o.str("url")
	u, err := url.Parse(text)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		b.errorf(o.where("url"), "write http://HOST or https://HOST, with port and path where needed", "%q is no address of a web server", text)
	case u.User != nil:
		b.errorf(o.where("url"), "take user and password out: an inventory holds no secrets; let the server take this workstation by its address, or ask with a command", "the address holds a password")
	}
	return text
}
