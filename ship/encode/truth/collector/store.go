package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refusals are metrics by whose name a request is refused as a whole, as a full
// or failing pipeline behind the receiver does it.
var refusals = map[string]error{
	"refuse.permanently": consumererror.NewPermanent(errors.New("refused for good, as asked")),
	"refuse.for.now":     errors.New("refused for now, as asked"),
	"refuse.as.invalid":  status.Error(codes.InvalidArgument, "invalid, as asked"),
	"refuse.exhausted":   status.Error(codes.ResourceExhausted, "exhausted, as asked"),
}

// point is one value of one metric. Either Int or Double is set, or neither for
// what has no number.
type point struct {
	From         string         `json:"from"`
	Name         string         `json:"name"`
	Unit         string         `json:"unit"`
	Type         string         `json:"type"`
	Monotonic    bool           `json:"monotonic"`
	Temporality  string         `json:"temporality"`
	Resource     map[string]any `json:"resource"`
	Scope        string         `json:"scope"`
	ScopeVersion string         `json:"scope_version"`
	Attributes   map[string]any `json:"attributes"`
	TimeNS       uint64         `json:"time_ns"`
	StartNS      uint64         `json:"start_ns"`
	Int          *int64         `json:"int,omitempty"`
	Double       *float64       `json:"double,omitempty"`
}

// store keeps points until they are taken.
type store struct {
	mu     sync.Mutex
	points []point // guarded by mu
}

// from is the consumer of one receiver.
func (s *store) from(receiver string) consumer.Metrics {
	c, err := consumer.NewMetrics(func(_ context.Context, m pmetric.Metrics) error {
		points, err := pointsOf(receiver, m)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.points = append(s.points, points...)
		return nil
	})
	if err != nil {
		panic(err) // it has no options that could be wrong
	}
	return c
}

func (s *store) take() []point {
	s.mu.Lock()
	defer s.mu.Unlock()
	points := s.points
	s.points = nil
	return points
}

func pointsOf(from string, all pmetric.Metrics) (points []point, err error) {
	for _, resource := range all.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, m := range scope.Metrics().All() {
				if err := refusals[m.Name()]; err != nil {
					return nil, err
				}
				p := point{
					From: from, Name: m.Name(), Unit: m.Unit(), Resource: resource.Resource().Attributes().AsRaw(),
					Scope: scope.Scope().Name(), ScopeVersion: scope.Scope().Version(),
				}
				if points, err = p.appendEach(points, m); err != nil {
					return nil, consumererror.NewPermanent(fmt.Errorf("%s: %w", m.Name(), err))
				}
			}
		}
	}
	return points, nil
}

// appendEach appends p with each value of m. What is neither a gauge nor a sum is
// appended once, by its type alone.
func (p point) appendEach(points []point, m pmetric.Metric) ([]point, error) {
	var values pmetric.NumberDataPointSlice
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		p.Type, values = "gauge", m.Gauge().DataPoints()
	case pmetric.MetricTypeSum:
		p.Type, values = "sum", m.Sum().DataPoints()
		p.Monotonic, p.Temporality = m.Sum().IsMonotonic(), m.Sum().AggregationTemporality().String()
	default:
		p.Type = m.Type().String()
		return append(points, p), nil
	}
	for _, v := range values.All() {
		one, err := p.with(v)
		if err != nil {
			return nil, err
		}
		points = append(points, one)
	}
	return points, nil
}

func (p point) with(v pmetric.NumberDataPoint) (point, error) {
	p.Attributes = v.Attributes().AsRaw()
	p.TimeNS, p.StartNS = nanoseconds(v.Timestamp()), nanoseconds(v.StartTimestamp())
	switch v.ValueType() {
	case pmetric.NumberDataPointValueTypeInt:
		n := v.IntValue()
		p.Int = &n
	case pmetric.NumberDataPointValueTypeDouble:
		x := v.DoubleValue()
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return p, fmt.Errorf("the value is %v", x)
		}
		p.Double = &x
	}
	return p, nil
}

func nanoseconds(t pcommon.Timestamp) uint64 { return uint64(t) }
