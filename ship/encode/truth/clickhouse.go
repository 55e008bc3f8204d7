package truth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

const clickHouseProgram = "/usr/sbin/clickhouse-server"

// ClickHouse is a running server with an empty database, default.
type ClickHouse struct {
	// URL has no path.
	URL string
	// User and Password may do everything. There is no other user.
	User, Password string
}

// clickHouseConfig listens for HTTP alone; the numbers are bounds on memory.
const clickHouseConfig = `<yandex>
<logger><level>warning</level><console>1</console></logger>
<listen_host>127.0.0.1</listen_host>
<http_port>%s</http_port>
<path>%s/</path>
<tmp_path>%[2]s/tmp/</tmp_path>
<users_config>users.xml</users_config>
<default_profile>default</default_profile>
<default_database>default</default_database>
<mark_cache_size>1048576</mark_cache_size>
<timezone>UTC</timezone>
</yandex>
`

const clickHouseUsers = `<yandex>
<profiles><default><max_memory_usage>1000000000</max_memory_usage></default></profiles>
<users><%s>
<password>%s</password>
<networks><ip>127.0.0.1</ip></networks>
<profile>default</profile>
<quota>default</quota>
</%[1]s></users>
<quotas><default></default></quotas>
</yandex>
`

// StartClickHouse starts Debian's, which is of 2018: it knows neither DateTime64
// nor Map nor the settings that came later. The test is skipped without it.
func StartClickHouse(t *testing.T) ClickHouse {
	t.Helper()
	installed(t, clickHouseProgram)
	dir, addr := t.TempDir(), freeAddress(t)
	c := ClickHouse{URL: "http://" + addr, User: "heka", Password: "open sesame"}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"config.xml": fmt.Sprintf(clickHouseConfig, port, filepath.Join(dir, "data")),
		"users.xml":  fmt.Sprintf(clickHouseUsers, c.User, c.Password),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serve(t, c.URL+"/ping", clickHouseProgram, "--config-file="+filepath.Join(dir, "config.xml"))
	return c
}

// Exec runs a statement, such as CREATE TABLE.
func (c ClickHouse) Exec(t *testing.T, statement string) {
	t.Helper()
	c.query(t, statement)
}

// Rows returns what a SELECT without FORMAT gives, in its order: values by column,
// as encoding/json has them but for numbers, which are json.Number with all digits.
func (c ClickHouse) Rows(t *testing.T, query string) (rows []map[string]any) {
	t.Helper()
	lines := json.NewDecoder(bytes.NewReader(c.query(t, query+" FORMAT JSONEachRow")))
	lines.UseNumber()
	for lines.More() {
		var row map[string]any
		if err := lines.Decode(&row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

func (c ClickHouse) query(t *testing.T, statement string) []byte {
	t.Helper()
	access := url.Values{"user": {c.User}, "password": {c.Password}, "output_format_json_quote_64bit_integers": {"0"}}
	out, err := ask(t.Context(), http.MethodPost, c.URL+"/?"+access.Encode(), []byte(statement))
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return out
}
