package truth_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/ship/encode/truth"
)

const datadogBody = `{"series":[{"metric":"system.cpu.time","type":3,"unit":"second","interval":5,"tags":["state:user","core:0"],
"resources":[{"name":"web-1","type":"host"}],"points":[{"timestamp":1700000000,"value":1.5},{"timestamp":1700000005,"value":4503599627370497}],
"metadata":{"origin":{"product":1}}},
{"metric":"system.uptime","points":[{"timestamp":1700000005,"value":0.1}]}]}`

// TestDatadogReads reads a body, and what is not of the schema in many places.
func TestDatadogReads(t *testing.T) {
	d := truth.BuildDatadog(t)
	got, err := d.Read(t, []byte(datadogBody))
	if err != nil {
		t.Fatal(err)
	}
	one := truth.DatadogPoint{
		Metric: "system.cpu.time", Type: 3, Unit: "second", Interval: 5, Tags: []string{"state:user", "core:0"},
		Resources: []truth.DatadogResource{{Name: "web-1", Type: "host"}}, Timestamp: 1700000000, Value: 1.5,
	}
	two := one
	two.Timestamp, two.Value = 1700000005, 4503599627370497
	want := []truth.DatadogPoint{one, two, {Metric: "system.uptime", Timestamp: 1700000005, Value: 0.1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, test := range []struct{ replace, by, says string }{
		{`"series":[`, `"serie":[`, "required field series missing"},
		{`"metric":"system.uptime"`, `"name":"system.uptime"`, "the payload does not fit"},
		{`"metric":"system.uptime"`, `"metric":7`, "series[1]: it does not fit"},
		{`"type":3`, `"type":4`, "series[0]: it does not fit"},
		{`"type":3`, `"type":"gauge"`, "does not fit"},
		{`"interval":5`, `"interval":5.5`, "does not fit"},
		{`"unit":`, `"units":`, "series[0]: it has unknown fields: map[units:second]"},
		{`{"series"`, `{"more":1,"series"`, "the payload has unknown fields"},
		{`"name":"web-1"`, `"host":"web-1"`, "series[0]: resources[0] has unknown fields"},
		{`"name":"web-1"`, `"name":1`, "series[0]: resources[0] does not fit"},
		{`"timestamp":1700000000`, `"time":1700000000`, "series[0]: points[0] has unknown fields"},
		{`"timestamp":1700000000`, `"timestamp":"1700000000"`, "series[0]: points[0] does not fit"},
		{`"timestamp":1700000000`, `"timestamp":1700000000.5`, "series[0]: points[0] does not fit"},
		{`"value":0.1`, `"value":"0.1"`, "series[1]: points[0] does not fit"},
		{`"value":0.1`, `"value":null`, "series[1]: points[0]: no timestamp or no value"},
		{`"product":1`, `"produce":1`, "series[0]: metadata.origin has unknown fields"},
		{`"origin":`, `"origins":`, "series[0]: metadata has unknown fields"},
		{`"product":1`, `"product":"x"`, "series[0]: it does not fit"},
	} {
		body := strings.Replace(datadogBody, test.replace, test.by, 1)
		got, err := d.Read(t, []byte(body))
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s for %s: %v, %v", test.by, test.replace, got, err)
		}
	}
}
