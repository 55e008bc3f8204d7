package ship

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The plot's measures, in pixels. A column of it is fleetColumn wide in time,
// and as high as its busiest second.
const (
	plotWidth, plotHeight = 860, 430
	plotLeft, plotRight   = 64, 20
	panelTop, panelHeight = 34, 150
	panelGap              = 40
	fleetColumn           = 10 * time.Second
	plotEnd               = fleetSteady + fleetOutage + 20*time.Minute
)

// fleetPlot draws two fleets, one below the other, as an SVG whose colours are
// readable on white and on dark.
func fleetPlot(ours, other *fleetRun) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#808890">`+"\n", plotWidth, plotHeight)
	highest := max(slices.Max(plotColumns(ours)), slices.Max(plotColumns(other)))
	second := panelTop + panelHeight + panelGap
	panel(&b, panelTop, highest, ours, "our rules", "#3b82f6")
	panel(&b, second, highest, other, "the same without jitter", "#e0772f")
	bottom := second + panelHeight
	for minute := -20; minute <= 80; minute += 10 {
		x := plotX(fleetSteady + time.Duration(minute)*time.Minute)
		fmt.Fprintf(&b, `<path d="M%.1f %dv5" stroke="#808890"/><text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", x, bottom, x, bottom+19, minute)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">minutes since the server died</text>`+"\n", (plotLeft+plotWidth-plotRight)/2, bottom+38)
	fmt.Fprintf(&b, `<text transform="translate(14 %d) rotate(-90)" text-anchor="middle">requests a second, the busiest of 10</text>`+"\n</svg>\n", (panelTop+bottom)/2)
	return b.String()
}

// panel draws one fleet, its axes, the outage and the server's capacity.
func panel(b *strings.Builder, top int, highest float64, r *fleetRun, title, colour string) {
	y := func(rate float64) float64 { return float64(top) + panelHeight*(1-rate/highest) }
	from, to := plotX(r.server.dies), plotX(r.server.returns)
	right := plotX(plotEnd)
	fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" opacity=".15"/><text x="%.1f" y="%d" text-anchor="middle">server dead</text>`+"\n",
		from, top, to-from, panelHeight, (from+to)/2, top+16)
	fmt.Fprintf(b, `<text x="%d" y="%d" font-size="14" font-weight="bold" fill="%s">%s</text>`+"\n", plotLeft, top-10, colour, title)
	capacity := float64(time.Second) / float64(r.server.work)
	fmt.Fprintf(b, `<path d="M%d %.1fH%.1f" stroke="#808890" stroke-dasharray="5 4"/><text x="%d" y="%.1f">capacity</text>`+"\n",
		plotLeft, y(capacity), right, plotLeft+6, y(capacity)-5)
	for _, rate := range []float64{0, capacity / fleetCapacity, capacity} {
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%.0f</text>`+"\n", plotLeft-8, y(rate)+4, rate)
	}
	fmt.Fprintf(b, `<path d="M%d %dV%dH%.1f" fill="none" stroke="#808890"/>`+"\n", plotLeft, top, top+panelHeight, right)
	fmt.Fprintf(b, `<path fill="none" stroke="%s" stroke-width="1.5" d="`, colour)
	for i, rate := range plotColumns(r) {
		fmt.Fprintf(b, "%c%.1f %.1f", "ML"[min(i, 1)], plotX(time.Duration(i)*fleetColumn), y(rate))
	}
	b.WriteString(`"/>` + "\n")
}

func plotX(at time.Duration) float64 {
	return plotLeft + (plotWidth-plotLeft-plotRight)*at.Seconds()/plotEnd.Seconds()
}

// plotColumns holds the busiest second of each, up to the end of the plot or of the
// simulation.
func plotColumns(r *fleetRun) (rates []float64) {
	for column := range slices.Chunk(r.server.seconds[:min(len(r.server.seconds), int(plotEnd/time.Second))], int(fleetColumn/time.Second)) {
		busiest := slices.MaxFunc(column, func(a, b fleetSecond) int { return a.arrived - b.arrived })
		rates = append(rates, float64(busiest.arrived))
	}
	return rates
}
