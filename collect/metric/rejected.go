package metric

// Rejected is what a backend left out of a batch that it acknowledged. The zero
// value is nothing.
type Rejected struct {
	// Points counts what was left out.
	Points int64
	// Series are the indexes, in the batch, of series that were left out whole,
	// and Places are single points; both are empty where the backend does not say.
	Series []int
	Places []Place
	// Reason is the first that the backend gave.
	Reason string
}

// Place is where a point is in a batch: the indexes of its series and its time.
type Place struct{ Series, Time int }
