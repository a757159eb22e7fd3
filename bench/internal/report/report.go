//go:build linux

// Package report turns the figures of a run into a table, a JSON file and a plot.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"holdfast/bench/internal/peer"
	"holdfast/bench/internal/scenario"
)

// Peer is a server that took part, or why it didn't.
type Peer struct {
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"`
	Recovery string `json:"recovery,omitempty"`
	LeftOut  string `json:"left_out,omitempty"`
}

// Scenario is what the report needs to know of a load.
type Scenario struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Unit  string `json:"unit"`
}

// Result is one run of one scenario against one peer.
type Result struct {
	Peer     string           `json:"peer"`
	Scenario string           `json:"scenario"`
	Round    int              `json:"round"`
	Figures  scenario.Figures `json:"figures,omitempty"`
	Error    string           `json:"error,omitempty"`
}

// Report is everything that a run gave.
type Report struct {
	Started   time.Time  `json:"started"`
	Machine   string     `json:"machine"`
	Cores     string     `json:"cores"` // which the servers and the generator were pinned to
	Rounds    int        `json:"rounds"`
	Peers     []Peer     `json:"peers"`
	Scenarios []Scenario `json:"scenarios"`
	Results   []Result   `json:"results"`
	// Medians, by scenario and peer, are of the rounds that gave the figure.
	Medians map[string]map[string]scenario.Figures `json:"medians"`
}

// Finish computes the medians.
func (r *Report) Finish() {
	r.Medians = map[string]map[string]scenario.Figures{}
	for _, s := range r.Scenarios {
		byPeer := map[string]scenario.Figures{}
		for _, p := range r.Peers {
			if f := r.median(s.Name, p.Name); len(f) > 0 {
				byPeer[p.Name] = f
			}
		}
		r.Medians[s.Name] = byPeer
	}
}

func (r *Report) median(scenarioName, peerName string) scenario.Figures {
	values := map[scenario.Figure][]float64{}
	for _, res := range r.Results {
		if res.Scenario != scenarioName || res.Peer != peerName {
			continue
		}
		for f, v := range res.Figures {
			values[f] = append(values[f], v)
		}
	}
	medians := scenario.Figures{}
	for f, v := range values {
		slices.Sort(v)
		if n := len(v); n%2 == 1 {
			medians[f] = v[n/2]
		} else {
			medians[f] = (v[n/2-1] + v[n/2]) / 2
		}
	}
	return medians
}

// ratio compares a peer's figure with the baseline's; not ok when one is missing or the baseline's is zero.
func (r *Report) ratio(scenarioName, peerName string, f scenario.Figure) (float64, bool) {
	v, ok := r.Medians[scenarioName][peerName][f]
	base, okBase := r.Medians[scenarioName][peer.Baseline][f]
	if !ok || !okBase || base == 0 {
		return 0, false
	}
	return v / base, true
}

// failure is the first error of a peer in a scenario, "" when there is none.
func (r *Report) failure(scenarioName, peerName string) string {
	for _, res := range r.Results {
		if res.Scenario == scenarioName && res.Peer == peerName && res.Error != "" {
			return res.Error
		}
	}
	return ""
}

// running lists the peers that took part.
func (r *Report) running() []Peer {
	return slices.DeleteFunc(slices.Clone(r.Peers), func(p Peer) bool { return p.LeftOut != "" })
}

// WriteJSON writes the whole report to a file.
func (r *Report) WriteJSON(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return write(path, append(b, '\n'))
}

func write(path string, b []byte) error {
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
