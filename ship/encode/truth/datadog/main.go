// Command datadog reads the body of a POST to Datadog's /api/v2/series on
// standard input with the types of Datadog's own client, and prints a JSON line
// for each point. Whatever those types do not know is an error.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV2"
)

// point is one value of one series. What the body leaves out is zero.
type point struct {
	Metric    string     `json:"metric"`
	Type      int32      `json:"type"`
	Unit      string     `json:"unit"`
	Interval  int64      `json:"interval"`
	Tags      []string   `json:"tags"`
	Resources []resource `json:"resources"`
	Timestamp int64      `json:"timestamp"`
	Value     float64    `json:"value"`
}

// resource is what a series is about, such as a host.
type resource struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "datadog:", err)
		os.Exit(1)
	}
}

func run() error {
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var payload datadogV2.MetricPayload
	if err := payload.UnmarshalJSON(body); err != nil {
		return err
	}
	points, err := pointsOf(payload)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for _, p := range points {
		if err := out.Encode(p); err != nil {
			return err
		}
	}
	return nil
}

func pointsOf(payload datadogV2.MetricPayload) (points []point, err error) {
	if err := known("the payload", payload.UnparsedObject, payload.AdditionalProperties); err != nil {
		return nil, err
	}
	for i, s := range payload.Series {
		ofSeries, err := pointsOfSeries(s)
		if err != nil {
			return nil, fmt.Errorf("series[%d]: %w", i, err)
		}
		points = append(points, ofSeries...)
	}
	return points, nil
}

func pointsOfSeries(s datadogV2.MetricSeries) (points []point, err error) {
	if err := known("it", s.UnparsedObject, s.AdditionalProperties); err != nil {
		return nil, err
	}
	// Null, too, takes the place of a type.
	if s.Type != nil && !s.Type.IsValid() {
		return nil, fmt.Errorf("type %d is none of %v", *s.Type, s.Type.GetAllowedValues())
	}
	if err := knownMetadata(s.Metadata); err != nil {
		return nil, err
	}
	p := point{Metric: s.Metric, Type: int32(s.GetType()), Unit: s.GetUnit(), Interval: s.GetInterval(), Tags: s.Tags}
	for i, r := range s.Resources {
		if err := known(fmt.Sprintf("resources[%d]", i), r.UnparsedObject, r.AdditionalProperties); err != nil {
			return nil, err
		}
		p.Resources = append(p.Resources, resource{Name: r.GetName(), Type: r.GetType()})
	}
	for i, v := range s.Points {
		if err := known(fmt.Sprintf("points[%d]", i), v.UnparsedObject, v.AdditionalProperties); err != nil {
			return nil, err
		}
		if v.Timestamp == nil || v.Value == nil {
			return nil, fmt.Errorf("points[%d]: no timestamp or no value", i)
		}
		p.Timestamp, p.Value = *v.Timestamp, *v.Value
		points = append(points, p)
	}
	return points, nil
}

func knownMetadata(m *datadogV2.MetricMetadata) error {
	if m == nil {
		return nil
	}
	err := known("metadata", m.UnparsedObject, m.AdditionalProperties)
	if m.Origin != nil {
		err = errors.Join(err, known("metadata.origin", m.Origin.UnparsedObject, m.Origin.AdditionalProperties))
	}
	return err
}

// known fails on an object that does not fit its type, and on fields that its type
// does not have.
func known(what string, unparsed, more map[string]any) error {
	if unparsed != nil {
		return fmt.Errorf("%s does not fit the schema: %v", what, unparsed)
	}
	if len(more) > 0 {
		return fmt.Errorf("%s has unknown fields: %v", what, more)
	}
	return nil
}
