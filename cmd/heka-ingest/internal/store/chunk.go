package store

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// A chunk holds the points of one series in one batch: the ticks, followed by
// one value per tick.
//
//	ticks:  count, first time, then the steps between times (all uvarint)
//	value:  tag 0 null | tag 1 integer: its step from the last one (varint)
//	        | tag 2 float: 8 bytes, little endian
const (
	tagNull = iota
	tagInt
	tagFloat
)

var errChunk = errors.New("damaged chunk")

func appendTimes(dst []byte, times []int64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(times)))
	last := int64(0)
	for _, t := range times {
		dst = binary.AppendUvarint(dst, uint64(t-last))
		last = t
	}
	return dst
}

func appendValues(dst []byte, values []wire.Value) []byte {
	last := int64(0)
	for _, v := range values {
		i, isInt := v.Int64()
		switch {
		case v.IsNull():
			dst = append(dst, tagNull)
		case isInt:
			dst = append(dst, tagInt)
			// The difference may overflow; adding it when decoding undoes that.
			dst = binary.AppendVarint(dst, i-last)
			last = i
		default:
			dst = append(dst, tagFloat)
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float64()))
		}
	}
	return dst
}

// readTimes returns the ticks at the start of data, and the rest of data.
func readTimes(data []byte) (times []int64, rest []byte, err error) {
	count, n := binary.Uvarint(data)
	if n <= 0 || count > uint64(len(data)) {
		return nil, nil, errChunk
	}
	data = data[n:]
	times = make([]int64, 0, count)
	last := int64(0)
	for range count {
		step, n := binary.Uvarint(data)
		if n <= 0 {
			return nil, nil, errChunk
		}
		data = data[n:]
		last += int64(step)
		times = append(times, last)
	}
	return times, data, nil
}

func readValues(data []byte, count int) ([]wire.Value, error) {
	values := make([]wire.Value, 0, count)
	last := int64(0)
	for range count {
		if len(data) == 0 {
			return nil, errChunk
		}
		tag := data[0]
		data = data[1:]
		switch {
		case tag == tagNull:
			values = append(values, wire.Value{})
		case tag == tagInt:
			step, n := binary.Varint(data)
			if n <= 0 {
				return nil, errChunk
			}
			data = data[n:]
			last += step
			values = append(values, wire.Int(last))
		case tag == tagFloat && len(data) >= 8:
			values = append(values, wire.Float(math.Float64frombits(binary.LittleEndian.Uint64(data))))
			data = data[8:]
		default:
			return nil, errChunk
		}
	}
	if len(data) != 0 {
		return nil, errChunk
	}
	return values, nil
}
