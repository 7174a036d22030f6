package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/nuboctl/nuboctl/pkg/model"
)

// mostRead bounds what is read of an answer.
const mostRead = 1 << 20

// ask puts a gate's question once; nil is a good answer.
func (s *Set) ask(ctx context.Context, g model.Gate) error {
	switch {
	case g.Command != nil:
		if s.Run == nil {
			return errors.New("commands cannot be run here")
		}
		return s.Run(ctx, g.Command.Node, g.Command.Run)
	case g.HTTP != nil:
		return s.askHTTP(ctx, *g.HTTP)
	case g.Prometheus != nil:
		return s.askPrometheus(ctx, *g.Prometheus)
	}
	return errors.New("it asks nothing")
}

func (s *Set) askHTTP(ctx context.Context, g model.GateHTTP) error {
	status, body, err := s.get(ctx, g.URL)
	if err != nil {
		return err
	}
	want := g.Status
	if want == 0 {
		want = http.StatusOK
	}
	if status != want {
		return fmt.Errorf("%s answers with status %d, not %d", g.URL, status, want)
	}
	if g.Matches == "" {
		return nil
	}
	re, err := regexp.Compile(g.Matches)
	if err != nil {
		return fmt.Errorf("matches: %w", err)
	}
	if !re.Match(body) {
		return fmt.Errorf("what %s answers does not match %q", g.URL, g.Matches)
	}
	return nil
}

// get reads a page. Another host that a page redirects to is not asked.
func (s *Set) get(ctx context.Context, address string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, err
	}
	client := s.HTTP
	if client == nil {
		client = &http.Client{CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if next.URL.Host != via[0].URL.Host || len(via) > 5 {
				return http.ErrUseLastResponse
			}
			return nil
		}}
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, mostRead))
	return res.StatusCode, body, err
}

// answer is the part of Prometheus' answer to an instant query that is looked at (its HTTP API, version 1).
type answer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	} `json:"data"`
}

// sample is one series of a vector: its labels, and time and value of its last point.
type sample struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
}

func (s *Set) askPrometheus(ctx context.Context, g model.GatePrometheus) error {
	status, body, err := s.get(ctx, strings.TrimSuffix(g.URL, "/")+"/api/v1/query?query="+url.QueryEscape(g.Query))
	if err != nil {
		return err
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return fmt.Errorf("%s answers with status %d, and not as Prometheus does: %w", g.URL, status, err)
	}
	if a.Status != "success" {
		return fmt.Errorf("%s: %s", g.URL, a.Error)
	}
	samples, err := samplesOf(a)
	if err != nil {
		return fmt.Errorf("%s: %w", g.URL, err)
	}
	return judge(g, samples)
}

func samplesOf(a answer) ([]sample, error) {
	switch a.Data.Type {
	case "vector":
		var out []sample
		err := json.Unmarshal(a.Data.Result, &out)
		return out, err
	case "scalar":
		one := make([]sample, 1)
		return one, json.Unmarshal(a.Data.Result, &one[0].Value)
	}
	return nil, fmt.Errorf("the query gives a %s, and only vectors and numbers can be judged", a.Data.Type)
}

// judge compares every value with what the gate allows. No value at all is good where there is only a greatest one: nothing is above it.
func judge(g model.GatePrometheus, samples []sample) error {
	if len(samples) == 0 && g.Min != nil {
		return fmt.Errorf("%s gives nothing, and %v or more is asked for", g.Query, *g.Min)
	}
	for _, x := range samples {
		text, _ := x.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%s gives %q, which is no number", g.Query, text)
		}
		// Written so that NaN is bad.
		if g.Max != nil && !(v <= *g.Max) {
			return fmt.Errorf("%s is %v%s, above %v", g.Query, v, labels(x), *g.Max)
		}
		if g.Min != nil && !(v >= *g.Min) {
			return fmt.Errorf("%s is %v%s, below %v", g.Query, v, labels(x), *g.Min)
		}
	}
	return nil
}

// labels names a series for people.
func labels(x sample) string {
	for _, name := range []string{"alertname", "instance", "job"} {
		if v := x.Metric[name]; v != "" {
			return " (" + name + " " + v + ")"
		}
	}
	return ""
}
