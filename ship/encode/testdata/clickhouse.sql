-- ClickHouse 22.1 and later. ReplacingMergeTree also merges what comes twice
-- beyond the last 10000 inserts; SELECT … FINAL does it at once.
CREATE TABLE heka_metrics
(
    time_ms Int64 CODEC(DoubleDelta, ZSTD(1)),
    time DateTime64(3, 'UTC') MATERIALIZED fromUnixTimestamp64Milli(time_ms, 'UTC'),
    name LowCardinality(String),
    kind LowCardinality(String),
    unit LowCardinality(String),
    value Float64,
    value_int Nullable(Int64),
    label_keys Array(String),
    label_values Array(String),
    labels Map(String, String) ALIAS CAST((label_keys, label_values), 'Map(String, String)'),
    resource_keys Array(String),
    resource_values Array(String),
    host LowCardinality(String),
    agent_id LowCardinality(String),
    start_ms Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (name, agent_id, label_keys, label_values, time_ms)
SETTINGS non_replicated_deduplication_window = 10000
