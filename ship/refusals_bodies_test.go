package ship_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
)

func tableNone(tablePoint) bool { return false }

// tableWhere refuses bodies for what they are as a whole.
func tableWhere(o ship.Outcome, refused func(b *tableBody) bool) tableServer {
	return func(b *tableBody) ship.Outcome {
		if refused(b) {
			return o
		}
		return tableAcked
	}
}

// tableTogether reports whether a body holds points of two series.
func tableTogether(b *tableBody, x, y int32) bool {
	return slices.Contains(b.columns, x) && slices.Contains(b.columns, y)
}

// TestRefusalsOfBodies refuses bodies of which no point is bad: two series that
// may not travel together, and too many points.
func TestRefusalsOfBodies(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name    string
		aBatch  float64
		refused func(b *tableBody) bool
	}{
		{"adjacent", 2, func(b *tableBody) bool { return tableTogether(b, 10, 11) }},
		{"far", 2, func(b *tableBody) bool { return tableTogether(b, 10, 80) }},
		{"ends", 2, func(b *tableBody) bool { return tableTogether(b, 0, 97) }},
		{"more than 200 of 294", 2, func(b *tableBody) bool { return len(b.points) > 200 }},
		{"more than 20", 34, func(b *tableBody) bool { return len(b.points) > 20 }},
	}
	for _, row := range rows {
		for _, shape := range tableShapes() {
			if shape.every != 5*time.Second {
				continue
			}
			inTable(t, row.name+"/"+shape.String(), shape, func() tableServer { return tableWhere(table400, row.refused) }, func(w *tableWorld) {
				w.run(20 * time.Minute)
				w.stop()
				w.wantGood(tableNone)
				w.wantFresh(tableNone, w.refusal+8*shape.batch, w.ended-2*shape.batch)
				w.wantQuiet(w.refusal+8*shape.batch, w.ended, row.aBatch, 45)
			})
		}
	}
}

// TestRefusalsOfForms refuses a form of all bodies, whatever is in them.
func TestRefusalsOfForms(t *testing.T) {
	t.Parallel()
	rows := map[string]func(b *tableBody) bool{
		"compressed":       func(b *tableBody) bool { return b.compression != ship.CompressionNone },
		"with attributes":  func(b *tableBody) bool { return b.resource },
		"from a time on":   func(b *tableBody) bool { return b.at > tableMidRun && b.resource },
		"compressed later": func(b *tableBody) bool { return b.at > tableMidRun && b.compression != ship.CompressionNone },
	}
	for name, refused := range rows {
		for _, shape := range tableShapes() {
			if shape.every != 5*time.Second {
				continue
			}
			shape.tweak = func(cfg *ship.Config) { cfg.Compression = ship.CompressionGzip }
			inTable(t, name+"/"+shape.String(), shape, func() tableServer { return tableWhere(table400, refused) }, func(w *tableWorld) {
				w.run(20 * time.Minute)
				w.stop()
				w.wantGood(tableNone)
				w.wantFresh(tableNone, w.refusal+8*shape.batch, w.ended-2*shape.batch)
				w.wantQuiet(w.refusal+8*shape.batch, w.ended, 1, 45)
			})
		}
	}
}

// TestRefusalsOfChangingSeries refuses a series that is another one in each
// batch.
func TestRefusalsOfChangingSeries(t *testing.T) {
	t.Parallel()
	bad := func(p tablePoint) bool { return p.series >= 1000 }
	for _, shape := range tableShapes() {
		if shape.every != 5*time.Second {
			continue
		}
		shape.produce = func(tick int) []int32 { return append(tableRange(0, 98), int32(1000+(tick+1)/3)) }
		inTable(t, shape.String(), shape, func() tableServer { return tableRefusing(table400, bad) }, func(w *tableWorld) {
			w.run(30 * time.Minute)
			w.stop()
			w.wantGood(bad)
			settled := w.refusal + 8*shape.batch
			w.wantFresh(bad, settled, w.ended-2*shape.batch)
			w.wantQuiet(settled, w.ended, 5, 0)
		})
	}
}

// TestRefusalsThatAreNamed acknowledges each batch and lists one series of it as
// rejected.
func TestRefusalsThatAreNamed(t *testing.T) {
	t.Parallel()
	bad := tableSeries(tableMidRun, 40)
	server := func(b *tableBody) ship.Outcome {
		o := tableAcked
		for _, p := range b.points {
			if bad(p) {
				o.RejectedPoints++
			}
		}
		if o.RejectedPoints > 0 {
			o.RejectedSeries, o.Cause = []int{slices.Index(b.columns, 40)}, "type conflict"
		}
		return o
	}
	for _, shape := range tableShapes() {
		inTable(t, shape.String(), shape, func() tableServer { return server }, func(w *tableWorld) {
			w.run(30 * time.Minute)
			w.stop()
			w.wantGood(bad)
			w.wantFresh(bad, 0, w.ended-2*shape.batch)
			w.wantQuiet(w.refusal, w.ended, 1, 45)
			w.wantBadGone(bad, w.refusal)
			if most := int(w.ended/shape.batch) + 1; w.disk.calls > most {
				t.Errorf("%d letters of %d batches", w.disk.calls, most)
			}
			if !strings.Contains(w.log.String(), "n=40") {
				t.Errorf("the log does not name the series:\n%s", w.log.String())
			}
		})
	}
}
