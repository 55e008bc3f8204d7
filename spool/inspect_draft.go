package spool

// voidDrafts returns the names of drafts whose records are in others: as the spool
// finds them when it is opened. A segment that cannot be read voids none.
func (in *inspector) voidDrafts(names []string) ([]string, error) {
	var segs []*segment
	drafts := 0
	for _, name := range names {
		seg, err := in.heading(name)
		if err != nil {
			return nil, err
		}
		if seg.ofTicks {
			drafts++
		}
		segs = append(segs, seg)
	}
	if drafts == 0 {
		return nil, nil
	}
	for i, name := range names {
		o := opened{name: name}
		f, err := in.disk.Open(name)
		if err != nil {
			continue
		}
		if err = in.look(&o, f, segs[i].segmentID); err == nil {
			segs[i] = o.segment
		}
		_ = f.Close()
		if stop := in.stop(); stop != nil {
			return nil, stop
		}
	}
	var void []string
	for i, seg := range segs {
		if seg.isVoid(segs) {
			void = append(void, names[i])
		}
	}
	return void, nil
}

// heading reads no more of a segment than whether it is a draft.
func (in *inspector) heading(name string) (*segment, error) {
	id, _, _ := parseName(name)
	seg := &segment{segmentID: id}
	f, err := in.disk.Open(name)
	if err != nil {
		return seg, nil //nolint:nilerr // whoever reads on says so
	}
	defer f.Close() //nolint:errcheck // opened for reading
	var b [headerBytes]byte
	if readFull(f, b[:], 0) == nil {
		h, err := parseHeader(b[:], id.salt)
		seg.ofTicks = err == nil && h.kind == typeTick
	}
	return seg, in.stop()
}
