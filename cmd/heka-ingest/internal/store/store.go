package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	_ "modernc.org/sqlite" // registers the driver "sqlite" (docs/adr/0002-sqlite.md)

	"github.com/heka-insights/heka-insights-agent/cmd/heka-ingest/internal/wire"
)

// MinDedupe is the minimum time for which a batch id is remembered. By default
// an agent keeps a batch for up to a week and may send it again until then.
const MinDedupe = 8 * 24 * time.Hour

// maxGroup limits the batches of one transaction, and thereby how long the
// first of them waits.
const maxGroup = 32

// readers limits the connections that answer queries while the writer works.
const readers = 4

var (
	// ErrBusy is returned by [Store.Add] if the queue is full. Try again later.
	ErrBusy = errors.New("too many batches are waiting")
	// ErrClosed is returned by [Store.Add] if [Store.Run] ended before the
	// batch was stored.
	ErrClosed = errors.New("store is closed")
	// ErrInUse is returned by [Open] if another process uses the directory.
	ErrInUse = errors.New("in use by another heka-ingest")
)

// Config configures a [Store].
type Config struct {
	// Retention is how long points are kept, measured by their ticks. It must
	// be positive.
	Retention time.Duration
	// QueueBatches limits how many batches may wait for their commit. It must
	// be positive.
	QueueBatches int
	// Log receives errors that occur in the background. The zero Logger is
	// silent.
	Log zerolog.Logger
}

// Store is the ingest's database. It is safe for concurrent use.
type Store struct {
	cfg     Config
	lock    *os.File
	writer  *sql.DB
	reader  *sql.DB
	insert  statements
	queue   chan request
	stopped chan struct{}
	sweeper sweeper // owned by Run
	// twins logs agents that share an id. It is rate limited, because every
	// batch of such agents would cause a line.
	twins zerolog.Logger
}

// request is a batch that waits for its commit.
type request struct {
	batch *wire.Batch
	// done has room for the answer, so that Run never waits for a caller.
	done chan answer
}

type answer struct {
	ack wire.Ack
	err error
}

// Open opens or creates the database in dir and locks it against other
// processes. It creates dir with mode 0700 if necessary. The caller must call
// [Store.Run], which closes the store when it ends.
func Open(ctx context.Context, dir string, cfg Config) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, lock: lock,
		queue:   make(chan request, cfg.QueueBatches),
		stopped: make(chan struct{}),
		twins:   cfg.Log.Sample(&zerolog.BurstSampler{Burst: 1, Period: 10 * time.Minute}),
	}
	if err := s.open(ctx, filepath.Join(dir, "ingest.db")); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", filepath.Join(dir, "ingest.db"), err), s.close())
	}
	return s, nil
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("data directory %s: %w", dir, ErrInUse)
	}
	return f, nil
}

func (s *Store) open(ctx context.Context, path string) error {
	// SQLite creates its other files with the mode of this one.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if s.writer, err = connect(path, 1, "_txlock=immediate"); err != nil {
		return err
	}
	if err := migrate(ctx, s.writer); err != nil {
		return err
	}
	if err := s.insert.prepare(ctx, s.writer); err != nil {
		return err
	}
	s.reader, err = connect(path, readers, "_pragma=query_only(1)")
	return err
}

func connect(path string, connections int, options string) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	address := url.URL{Scheme: "file", Path: absolute, RawQuery: pragmas + "&" + options}
	db, err := sql.Open("sqlite", address.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch version {
	case schemaVersion:
		return nil
	case 0:
		_, err := db.ExecContext(ctx, fmt.Sprintf("BEGIN; %s; PRAGMA user_version = %d; COMMIT", schema, schemaVersion))
		return err
	default:
		return fmt.Errorf("has schema version %d, this heka-ingest knows %d", version, schemaVersion)
	}
}

// Add stores a batch. It returns when the batch is on disk, or at once with
// [ErrBusy] if the queue is full. It reports a batch that was stored before as
// a duplicate. Add waits for the disk and takes no context: once queued, a
// batch may be committed at any time. An agent that has gone by then sends the
// batch again.
func (s *Store) Add(b *wire.Batch) (wire.Ack, error) {
	r := request{batch: b, done: make(chan answer, 1)}
	select {
	case s.queue <- r:
	default:
		return wire.Ack{}, ErrBusy
	}
	select {
	case a := <-r.done:
		return a.ack, a.err
	case <-s.stopped:
	}
	select {
	case a := <-r.done:
		return a.ack, a.err
	default:
		return wire.Ack{}, ErrClosed
	}
}

// Run commits batches and deletes old points until ctx ends. It then commits
// the batches that still wait and closes the store. It must be called exactly
// once.
func (s *Store) Run(ctx context.Context) error {
	defer close(s.stopped)
	work := context.WithoutCancel(ctx)
	sweep := time.NewTimer(0)
	defer sweep.Stop()
	for {
		select {
		case first := <-s.queue:
			s.commitGroup(work, first)
		case <-sweep.C:
			sweep.Reset(s.sweep(work))
		case <-ctx.Done():
			s.drain(work)
			return s.close()
		}
	}
}

func (s *Store) drain(ctx context.Context) {
	for {
		select {
		case first := <-s.queue:
			s.commitGroup(ctx, first)
		default:
			return
		}
	}
}

// commitGroup commits first together with the other waiting batches. If that
// fails, it commits each batch separately, so that a batch that cannot be
// stored does not affect the others.
func (s *Store) commitGroup(ctx context.Context, first request) {
	group := []request{first}
	for more := true; more && len(group) < maxGroup; {
		select {
		case r := <-s.queue:
			group = append(group, r)
		default:
			more = false
		}
	}
	if err := s.commit(ctx, group); err == nil || len(group) == 1 {
		return
	}
	for i := range group {
		_ = s.commit(ctx, group[i:i+1]) // the caller of Add gets the error
	}
}

// commit stores a group in one transaction and answers its callers. If a group
// of several batches fails, commit does not answer them.
func (s *Store) commit(ctx context.Context, group []request) error {
	acks, err := s.transact(ctx, group)
	if err != nil {
		if len(group) == 1 {
			group[0].done <- answer{err: err}
		}
		return err
	}
	for i, r := range group {
		r.done <- answer{ack: acks[i]}
	}
	return nil
}

func (s *Store) transact(ctx context.Context, group []request) (acks []wire.Ack, err error) {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}()
	w := writer{ctx: ctx, tx: tx, insert: &s.insert, nowMS: time.Now().UnixMilli(), twins: s.twins}
	for _, r := range group {
		ack, err := w.add(r.batch)
		if err != nil {
			return nil, fmt.Errorf("store batch %s: %w", r.batch.ID, err)
		}
		acks = append(acks, ack)
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return acks, nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// close releases all resources. The store may be partly open.
func (s *Store) close() error {
	var errs []error
	s.insert.close()
	for _, db := range []*sql.DB{s.reader, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}
