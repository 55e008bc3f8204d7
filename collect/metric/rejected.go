package metric

// Rejected describes the points that a backend refused in a batch that it
// otherwise acknowledged. The zero value means none.
type Rejected struct {
	// Points is how many points were refused.
	Points int64
	// Series holds the indexes, in the batch, of series that were refused
	// completely. Places holds single points. Both are empty if the backend
	// does not name them.
	Series []int
	Places []Place
	// Reason is the first reason that the backend gave.
	Reason string
}

// Place locates a point in a [Batch] by the indexes of its series and its time.
type Place struct{ Series, Time int }
