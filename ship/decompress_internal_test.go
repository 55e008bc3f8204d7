package ship

import (
	"bytes"
	"strings"
	"testing"
)

func TestDecompress(t *testing.T) {
	body := []byte(`{"schema":"heka.batch/1","times":[1,2,3]}`)
	for _, kind := range []Compression{CompressionNone, CompressionGzip, CompressionZstd} {
		c, err := newCompressor(kind)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := c.compress(body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decompress(packed); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: %q, %v", kind, got, err)
		}
		if kind == CompressionNone {
			continue
		}
		if _, err := Decompress(packed[:len(packed)-3]); err == nil {
			t.Errorf("%s: a body that is cut short decompresses", kind)
		}
		bomb, err := c.compress(make([]byte, maxBodyBytes+1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decompress(bomb); err == nil || !strings.Contains(err.Error(), "decompress") {
			t.Errorf("%s: too large a body: %v", kind, err)
		}
	}
}
