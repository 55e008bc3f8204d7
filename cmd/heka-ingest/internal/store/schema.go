package store

// schemaVersion is stored in PRAGMA user_version. Open refuses a file of
// another version and does not convert it. Raise schemaVersion with every
// change below.
const schemaVersion = 1

// An unsigned epoch is stored as the int64 with the same bits.
const schema = `
CREATE TABLE hosts(
	id            INTEGER PRIMARY KEY,
	agent_id      TEXT NOT NULL UNIQUE,
	name          TEXT NOT NULL,
	version       TEXT NOT NULL,
	resource      TEXT NOT NULL,    -- JSON
	first_seen_ms INTEGER NOT NULL, -- by the ingest's clock
	last_seen_ms  INTEGER NOT NULL,
	last_tick_ms  INTEGER NOT NULL, -- by the host's clock
	interval_ms   INTEGER NOT NULL,
	epoch         INTEGER NOT NULL, -- of the batch with the newest tick
	seq           INTEGER NOT NULL,
	max_span_ms   INTEGER NOT NULL, -- longest time that one batch covers
	epochs        INTEGER NOT NULL,
	batches       INTEGER NOT NULL,
	points        INTEGER NOT NULL,
	duplicates    INTEGER NOT NULL,
	gaps          INTEGER NOT NULL,
	ticks         INTEGER NOT NULL,
	missing_ticks INTEGER NOT NULL,
	loss          TEXT NOT NULL,    -- JSON
	latest        TEXT NOT NULL     -- JSON
);
CREATE INDEX hosts_by_name ON hosts(name);

CREATE TABLE epochs(
	host    INTEGER NOT NULL,
	epoch   INTEGER NOT NULL,
	max_seq INTEGER NOT NULL,
	seen    INTEGER NOT NULL, -- how many different seqs arrived
	PRIMARY KEY(host, epoch)
) WITHOUT ROWID;

CREATE TABLE batches(
	id          INTEGER PRIMARY KEY, -- in order of arrival
	epoch       INTEGER NOT NULL,
	seq         INTEGER NOT NULL,
	part        TEXT NOT NULL,
	host        INTEGER NOT NULL,
	received_ms INTEGER NOT NULL,
	first_ms    INTEGER NOT NULL,
	times       BLOB NOT NULL,
	UNIQUE(epoch, seq, part)
);
CREATE INDEX batches_by_time ON batches(host, epoch, first_ms);

CREATE TABLE series(
	id     INTEGER PRIMARY KEY,
	host   INTEGER NOT NULL,
	name   TEXT NOT NULL,
	labels TEXT NOT NULL, -- JSON, keys sorted
	unit   TEXT NOT NULL,
	kind   TEXT NOT NULL,
	UNIQUE(host, name, labels, unit, kind)
);

CREATE TABLE chunks(
	series   INTEGER NOT NULL,
	first_ms INTEGER NOT NULL,
	batch    INTEGER NOT NULL,
	start_ms INTEGER,       -- of the counter, where it is not the host's boot
	data     BLOB NOT NULL, -- times and values: chunk.go
	PRIMARY KEY(series, first_ms, batch)
) WITHOUT ROWID;
`

// pragmas configure each connection; its address carries them. FULL makes every
// commit wait for the disk, because an acknowledged batch must survive a power
// cut.
const pragmas = "_pragma=busy_timeout(5000)" +
	"&_pragma=auto_vacuum(incremental)" +
	"&_pragma=journal_mode(wal)" +
	"&_pragma=synchronous(full)" +
	"&_pragma=journal_size_limit(67108864)" +
	"&_pragma=temp_store(memory)"
