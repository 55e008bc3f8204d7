package server

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/store"
)

// The defaults and maxima of GET /api/series.
const (
	defaultRange = time.Hour
	defaultLimit = 1_000
	maxLimit     = 10_000
	// maxQueryMS is small enough that computing with times cannot overflow.
	maxQueryMS = 1 << 52
)

func (s *Server) getHosts(w http.ResponseWriter, r *http.Request) {
	hosts, err := s.cfg.Storage.Hosts(r.Context())
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, hosts)
}

func (s *Server) getSeries(w http.ResponseWriter, r *http.Request) {
	query, err := parseQuery(r.URL.Query(), time.Now())
	if err != nil {
		s.refuse(w, r, &refusal{status: http.StatusBadRequest, reason: err.Error()})
		return
	}
	page, err := s.cfg.Storage.Series(r.Context(), query)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, page)
}

func parseQuery(values url.Values, now time.Time) (store.Query, error) {
	q := store.Query{Host: values.Get("host"), Name: values.Get("name")}
	if q.Host == "" {
		return q, fmt.Errorf("host: want a host name or an agent id")
	}
	var err error
	if q.ToMS, err = number(values, "to", 0, maxQueryMS, now.UnixMilli()); err != nil {
		return q, err
	}
	if q.FromMS, err = number(values, "from", 0, maxQueryMS, q.ToMS-defaultRange.Milliseconds()); err != nil {
		return q, err
	}
	limit, err := number(values, "limit", 1, maxLimit, defaultLimit)
	q.Limit = int(limit)
	return q, err
}

func number(values url.Values, name string, least, most, otherwise int64) (int64, error) {
	text := values.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s: want a number from %d to %d", name, least, most)
	}
	return n, nil
}
