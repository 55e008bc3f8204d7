package metric

// Rejected is what a backend left out of a batch that it acknowledged. The zero
// value is nothing.
type Rejected struct {
	// Points counts what was left out.
	Points int64
	// Series are the indexes, in the batch, of the series it belongs to; empty
	// where the backend does not say.
	Series []int
	// Reason is the first that the backend gave.
	Reason string
}
