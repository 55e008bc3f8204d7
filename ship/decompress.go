package ship

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxBodyBytes bounds what Decompress makes: twice the largest batch that can
// be configured.
const maxBodyBytes = 128 << 20

// Decompress returns a native body as it was before it was compressed; its
// first bytes tell how. It returns an error for what does not decompress, or to
// more than 128 MiB. A body that was not compressed is returned as it is.
func Decompress(body []byte) ([]byte, error) {
	var plain []byte
	var err error
	switch kind := CompressionOf(body); kind {
	case CompressionGzip:
		plain, err = gunzip(body)
	case CompressionZstd:
		plain, err = unzstd(body)
	default:
		return body, nil
	}
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return plain, nil
}

func gunzip(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxBodyBytes+1))
	if err == nil && len(plain) > maxBodyBytes {
		err = fmt.Errorf("more than %d bytes", maxBodyBytes)
	}
	return plain, err
}

func unzstd(body []byte) ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBodyBytes))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.DecodeAll(body, nil)
}
