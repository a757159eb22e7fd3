//go:build linux

package report

import (
	"fmt"
	"html"
	"strings"

	"holdfast/bench/internal/scenario"
)

// panels are the figures that the plot shows, each a block of bars.
var panels = []struct {
	scenario string
	figure   scenario.Figure
	title    string
	better   string
}{
	{"echo-w8", scenario.CPU, "Acked echo: CPU µs a message", "less is better"},
	{"steady", scenario.CPU, "Steady broadcast: CPU µs a delivery", "less is better"},
	{"burst", scenario.Rate, "Burst: deliveries a second", "more is better"},
	{"rooms", scenario.CPU, "Many small rooms: CPU µs a delivery", "less is better"},
	{"polling", scenario.CPU, "Polling echo: CPU µs a message", "less is better"},
	{"idle-9000", scenario.CPU, "Handshake: CPU µs a connection", "less is better"},
	{"idle-9000", scenario.KBPerConn, "Idle: KB a connection", "less is better"},
	{"steady", scenario.P99, "Steady broadcast: p99 ms", "less is better"},
}

// Measures of the plot in pixels.
const (
	plotWidth  = 860
	panelWidth = 410
	gutter     = 40
	labelWidth = 96
	valueWidth = 100
	barHeight  = 14
	barStep    = 21
	titleRoom  = 44
	panelGap   = 22
)

// The colours are given for light and dark; without a background the plot takes the page's.
const plotStyle = `<style>
text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2328}
.title{font-weight:600;font-size:13px}
.quiet{fill:#59636e}
.bar{fill:#8c959f}
.own{fill:#0969da}
.base{stroke:#d1d9e0}
@media (prefers-color-scheme:dark){
text{fill:#f0f6fc}
.quiet{fill:#9198a1}
.bar{fill:#6e7681}
.own{fill:#4493f8}
.base{stroke:#3d444d}
}
</style>
`

// SVG draws the main figures, a block of bars each. A figure that nobody has is left out.
func (r *Report) SVG() string {
	peers := r.running()
	panelHeight := titleRoom + barStep*len(peers)
	var body strings.Builder
	drawn := 0
	for _, p := range panels {
		largest := 0.0
		for _, who := range peers {
			largest = max(largest, r.Medians[p.scenario][who.Name][p.figure])
		}
		if largest == 0 {
			continue
		}
		x, y := drawn%2*(panelWidth+gutter), drawn/2*(panelHeight+panelGap)
		drawn++
		fmt.Fprintf(&body, `<g transform="translate(%d %d)"><text class="title" y="14">%s</text><text class="quiet" y="30">%s</text>`+"\n",
			x, y, html.EscapeString(p.title), p.better)
		for i, who := range peers {
			r.bar(&body, titleRoom+i*barStep, who.Name, p.scenario, p.figure, largest)
		}
		fmt.Fprintf(&body, `<line class="base" x1="%[1]d" x2="%[1]d" y1="%[2]d" y2="%[3]d"/></g>`+"\n",
			labelWidth, titleRoom-5, titleRoom+barStep*len(peers)-2)
	}
	height := max((drawn+1)/2*(panelHeight+panelGap), 1)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" `+
		`aria-label="Holdfast and its peers, measured in one run">`+"\n", plotWidth, height) + plotStyle + body.String() + "</svg>\n"
}

func (r *Report) bar(b *strings.Builder, y int, name, scenarioName string, f scenario.Figure, largest float64) {
	baseline := y + barHeight - 3
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-8, baseline, html.EscapeString(name))
	v, ok := r.Medians[scenarioName][name][f]
	if !ok {
		fmt.Fprintf(b, `<text class="quiet" x="%d" y="%d">not measured</text>`+"\n", labelWidth+6, baseline)
		return
	}
	label := Number(v)
	if r.Medians[scenarioName][name][scenario.Lost] > 0 {
		label += ", some lost"
	}
	class := "bar"
	if name == "holdfast" {
		class = "own"
	}
	width := max(v/largest*float64(panelWidth-labelWidth-valueWidth), 1)
	fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/><text x="%.1f" y="%d">%s</text>`+"\n",
		class, labelWidth, y, width, barHeight, labelWidth+width+6, baseline, label)
}

// WriteSVG writes the plot to a file.
func (r *Report) WriteSVG(path string) error { return write(path, []byte(r.SVG())) }

// WriteMarkdown writes the text form to a file.
func (r *Report) WriteMarkdown(path string) error { return write(path, []byte(r.Markdown())) }
