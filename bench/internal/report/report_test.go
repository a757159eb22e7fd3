//go:build linux

package report

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"holdfast/bench/internal/scenario"
)

func sample() *Report {
	r := &Report{
		Rounds: 3,
		Peers: []Peer{
			{Name: "node", Version: "1"},
			{Name: "holdfast", Version: "2"},
			{Name: "python", LeftOut: "python3 not installed"},
			{Name: "floor", Version: "3"},
		},
		Scenarios: []Scenario{{Name: "burst", Title: "Burst", Unit: "delivery"}},
	}
	for round, v := range []float64{300, 100, 200} {
		r.Results = append(
			r.Results,
			Result{Peer: "node", Scenario: "burst", Round: round, Figures: scenario.Figures{scenario.Rate: v, scenario.Lost: 0}},
			Result{Peer: "holdfast", Scenario: "burst", Round: round, Figures: scenario.Figures{scenario.Rate: 10 * v, scenario.Lost: 7}},
			Result{Peer: "floor", Scenario: "burst", Round: round, Error: "it < broke"},
		)
	}
	r.Finish()
	return r
}

func TestMedianAndRatio(t *testing.T) {
	r := sample()
	if m := r.Medians["burst"]["node"][scenario.Rate]; m != 200 {
		t.Errorf("median %v", m)
	}
	if ratio, ok := r.ratio("burst", "holdfast", scenario.Rate); !ok || ratio != 10 {
		t.Errorf("ratio %v %v", ratio, ok)
	}
	if _, ok := r.ratio("burst", "holdfast", scenario.Lost); ok {
		t.Error("a ratio to zero")
	}
	if _, ok := r.ratio("burst", "floor", scenario.Rate); ok {
		t.Error("a ratio of nothing")
	}
}

func TestMarkdown(t *testing.T) {
	got := sample().Markdown()
	for _, want := range []string{
		"- python: left out (python3 not installed)\n",
		"| scenario | figure       | node |    holdfast |  floor |\n",
		"| Burst    | deliveries/s |  200 | 2,000 (10×) | failed |\n",
		"|          | lost         |    0 |           7 | failed |\n",
		"- floor, burst: failed: it < broke\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestSVGIsWellFormed(t *testing.T) {
	d := xml.NewDecoder(strings.NewReader(sample().SVG()))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.1234: "0.123", 1.234: "1.23", 12.34: "12.3", 999.6: "1,000", 1234: "1,234", 3_436_323: "3,436,323", -5: "-5.00",
	} {
		if got := Number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
