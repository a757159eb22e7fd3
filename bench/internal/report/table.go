//go:build linux

package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"holdfast/bench/internal/peer"
	"holdfast/bench/internal/scenario"
)

// shown are the figures of the table, each with the head of its row. %s is the scenario's unit.
var shown = []struct {
	figure scenario.Figure
	head   string
}{
	{scenario.Rate, "%s/s"},
	{scenario.CPU, "CPU µs a %s"},
	{scenario.P50, "p50 ms"},
	{scenario.P99, "p99 ms"},
	{scenario.KBPerConn, "KB a connection"},
	{scenario.Lost, "lost"},
}

// plural names the units in a rate.
var plural = map[string]string{"message": "messages", "delivery": "deliveries", "connection": "connections"}

// Markdown is the report as text: who took part, then one table with the median of each figure and, beside it,
// its ratio to the baseline's.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s; %s. Median of %d rounds; beside it the ratio to %s.\n\n",
		r.Started.Format("2006-01-02"), r.Machine, r.Cores, r.Rounds, peer.Baseline)
	for _, p := range r.Peers {
		switch {
		case p.LeftOut != "":
			fmt.Fprintf(&b, "- %s: left out (%s)\n", p.Name, p.LeftOut)
		case p.Recovery != "":
			fmt.Fprintf(&b, "- %s: %s; recovery %s\n", p.Name, p.Version, p.Recovery)
		default:
			fmt.Fprintf(&b, "- %s: %s\n", p.Name, p.Version)
		}
	}
	b.WriteByte('\n')
	b.WriteString(Table(r.rows(), 2))
	b.WriteString(r.notes())
	return b.String()
}

// rows is the table: a head, then a row for each scenario and figure.
func (r *Report) rows() [][]string {
	peers := r.running()
	head := []string{"scenario", "figure"}
	for _, p := range peers {
		head = append(head, p.Name)
	}
	rows := [][]string{head}
	for _, s := range r.Scenarios {
		title := s.Title
		for _, f := range shown {
			row := []string{title, strings.ReplaceAll(f.head, "%s", s.Unit)}
			if f.figure == scenario.Rate {
				row[1] = plural[s.Unit] + "/s"
			}
			any := false
			for _, p := range peers {
				cell, ok := r.cell(s.Name, p.Name, f.figure)
				any = any || ok
				row = append(row, cell)
			}
			if any {
				rows = append(rows, row)
				title = ""
			}
		}
		if title != "" {
			rows = append(rows, append([]string{title}, make([]string, len(peers)+1)...))
		}
	}
	return rows
}

func (r *Report) cell(scenarioName, peerName string, f scenario.Figure) (string, bool) {
	v, ok := r.Medians[scenarioName][peerName][f]
	if !ok {
		if r.failure(scenarioName, peerName) != "" {
			return "failed", false
		}
		return "–", false
	}
	cell := Number(v)
	if f == scenario.Lost {
		cell = count(v)
	}
	if ratio, ok := r.ratio(scenarioName, peerName, f); ok && peerName != peer.Baseline && f != scenario.Lost {
		cell += fmt.Sprintf(" (%s)", times(ratio))
	}
	return cell, true
}

// notes says what a reader has to know of single cells.
func (r *Report) notes() string {
	var b strings.Builder
	for _, s := range r.Scenarios {
		for _, p := range r.running() {
			if e := r.failure(s.Name, p.Name); e != "" {
				fmt.Fprintf(&b, "- %s, %s: failed: %s\n", p.Name, s.Name, strings.ReplaceAll(e, "\n", "; "))
			}
			f := r.Medians[s.Name][p.Name]
			if n := f[scenario.Disordered]; n > 0 {
				fmt.Fprintf(&b, "- %s, %s: %s out of order\n", p.Name, s.Name, count(n))
			}
			if n := f[scenario.Dropped]; n > 0 {
				fmt.Fprintf(&b, "- %s, %s: %s connections broke\n", p.Name, s.Name, count(n))
			}
			if f[scenario.GeneratorLoad] > 0.95 && f[scenario.ServerLoad] < 0.9 {
				fmt.Fprintf(&b, "- %s, %s: the generator was the bottleneck (server at %.0f %% of its core)\n",
					p.Name, s.Name, 100*f[scenario.ServerLoad])
			}
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n" + b.String()
}

// Table writes rows, the head first, as a Markdown table whose columns also line up as plain text. The first
// labels columns are aligned left, the others right.
func Table(rows [][]string, labels int) string {
	var b strings.Builder
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for n, row := range rows {
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i < labels {
				b.WriteString("| " + c + pad + " ")
			} else {
				b.WriteString("| " + pad + c + " ")
			}
		}
		b.WriteString("|\n")
		if n == 0 {
			b.WriteString(rule(widths, labels))
		}
	}
	return b.String()
}

// rule is the line below a table's head.
func rule(widths []int, labels int) string {
	var b strings.Builder
	for i, w := range widths {
		b.WriteString("| " + strings.Repeat("-", max(w-1, 1)))
		if i < labels {
			b.WriteString("- ")
		} else {
			b.WriteString(": ")
		}
	}
	return b.String() + "|\n"
}

// Number formats a figure with three significant digits or more, and commas.
func Number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0:
		return "-" + Number(-v)
	case v < 1:
		return fmt.Sprintf("%.3f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return Count(int(math.Round(v)))
}

// Count formats a whole number of zero or more with commas.
func Count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func count(v float64) string { return Count(int(math.Round(v))) }

func times(v float64) string {
	if v >= 10 {
		return fmt.Sprintf("%.0f×", v)
	}
	return fmt.Sprintf("%.2f×", v)
}
